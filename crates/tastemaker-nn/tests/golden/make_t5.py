"""Makes t5.json and the tiny models beside it: what transformers makes of token sequences with T5s of
random numbers, one of the first kind and one of 1.1, whose heads do not fill its states.

    python -m venv env && env/bin/pip install transformers==5.24.0 torch==2.15.0
    env/bin/python make_t5.py
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

HERE = pathlib.Path(__file__).parent
TINY = {
    "vocab_size": 40, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3,
    "dropout_rate": 0.0, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}
# Longer than the distances that have a number each.
PROMPTS = [[3, 17, 2, 39, 8, 8, 21, 5, 30, 12, 4, 1], [9, 1], [i * 7 % 38 + 2 for i in range(50)] + [1]]
ANSWERS = [[5, 11, 38, 7, 7, 1], [20], [6, 1]]
GREEDY = 24


def rounded(values):
    return [round(float(value), 5) for value in values]


def tiny(name, deviation, **config):
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(**TINY, **config)).eval()
    if not config["tie_word_embeddings"]:
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * deviation)
        cases = []
        for prompt, answer in zip(PROMPTS, ANSWERS):
            read = torch.tensor([prompt])
            logits = model(input_ids=read, decoder_input_ids=torch.tensor([[0] + answer[:-1]]), use_cache=False).logits[0]
            logs = torch.log_softmax(logits, dim=-1)[range(len(answer)), answer]
            written = model.generate(read, max_new_tokens=GREEDY, do_sample=False, use_cache=False)[0, 1:].tolist()
            cases.append({
                "prompt": prompt, "answer": answer,
                "log-probabilities": rounded(logs),
                "written": written[:written.index(1)] if 1 in written else written,
            })
    shutil.rmtree(HERE / name, ignore_errors=True)
    # Written as the released files are; this transformers itself would say otherwise what is tied.
    (HERE / name).mkdir()
    tied = config["tie_word_embeddings"]
    state = {
        key: value.clone() for key, value in model.state_dict().items()
        if not (tied and key.endswith(("embed_tokens.weight", "lm_head.weight")))
    }
    save_file(state, HERE / name / "model.safetensors", {"format": "pt"})
    # The first ones say nothing of it; FLAN's say so, or as this transformers writes them again.
    said = {} if tied else {"tie_word_embeddings": True, "scale_decoder_outputs": False}
    own = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], **TINY, **config}
    own = {key: value for key, value in own.items() if key != "tie_word_embeddings"} | said
    own.update({
        "layer_norm_epsilon": model.config.layer_norm_epsilon, "is_encoder_decoder": True,
        "relative_attention_num_buckets": model.config.relative_attention_num_buckets,
    })
    (HERE / name / "config.json").write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")
    again = T5ForConditionalGeneration.from_pretrained(HERE / name).eval()
    with torch.no_grad():
        assert torch.equal(again(input_ids=read, decoder_input_ids=torch.tensor([[0]])).logits,
                           model(input_ids=read, decoder_input_ids=torch.tensor([[0]])).logits)
    return {"folder": name, "greedy": GREEDY, "cases": cases}


golden = [
    tiny("t5-tiny", 0.3, num_heads=3, feed_forward_proj="relu", tie_word_embeddings=True),
    tiny("t5-1.1-tiny", 0.3, num_heads=2, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
]
(HERE / "t5.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")
for model in golden:
    for case in model["cases"]:
        print(model["folder"], case["written"], case["log-probabilities"])
