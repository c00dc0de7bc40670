"""Makes causal.json and the tiny models beside it: what transformers makes of token sequences with
models of random numbers, and of texts with SmolLM2.

    python -m venv env && env/bin/pip install transformers==5.24.0 torch==2.15.0 gguf accelerate
    env/bin/python make_causal.py ../../../../models/smollm2-135m-instruct

The model is fetched by scripts/fetch-models.sh. transformers turns its numbers into f32, as we do.
"""

import json
import pathlib
import shutil
import sys

import torch
from transformers import (
    AutoModelForCausalLM, AutoTokenizer, Gemma3TextConfig, GPT2Config, LlamaConfig, Qwen2Config,
    Qwen3Config,
)

HERE = pathlib.Path(__file__).parent
TINY = {
    "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 40, "max_position_embeddings": 64,
}
SEQUENCE = [3, 17, 0, 39, 8, 8, 21, 5, 30, 12, 1, 2]
TEXTS = [
    "The Hunger Games",
    "I'll pay $1,234.50 for 2 tickets — she's said: “naïve café”…\n\n\tOK?  ",
    "Амели; 千と千尋の神隠し 🎬",
    "<|im_start|>user\nHello<|im_end|>\n",
    "",
]
PROMPTS = [
    "A user has liked these films: The Matrix; Blade Runner; Alien. The next film is",
    "<|im_start|>user\nName a video game about racing.<|im_end|>\n<|im_start|>assistant\n",
]
CONTINUATIONS = [" Terminator 2: Judgment Day", " Toy Story", " The", " Mario Kart 8 is a racing game"]
GREEDY = 32


def rounded(values):
    return [round(float(value), 5) for value in values]


def tiny(name, config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
        logits = model(torch.tensor([SEQUENCE])).logits[0]
    shutil.rmtree(HERE / name, ignore_errors=True)
    model.save_pretrained(HERE / name)
    (HERE / name / "generation_config.json").unlink(missing_ok=True)
    return {"folder": name, "tokens": SEQUENCE, "logits": [rounded(row) for row in logits]}


def log_probabilities(model, prompt, continuation):
    with torch.no_grad():
        logits = model(torch.tensor([prompt + continuation])).logits[0]
    logs = torch.log_softmax(logits[len(prompt) - 1:-1], dim=-1)
    return rounded(logs[range(len(continuation)), continuation])


def of_prompt(model, tokenizer, text):
    prompt = tokenizer(text)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0, -1]
        written = model.generate(
            torch.tensor([prompt]), max_new_tokens=GREEDY, do_sample=False, pad_token_id=0
        )[0, len(prompt):].tolist()
    top = torch.topk(logits, 10)
    continuations = [tokenizer(text)["input_ids"] for text in CONTINUATIONS]
    return {
        "text": text, "tokens": prompt, "top": top.indices.tolist(), "logits": rounded(top.values),
        "written": [token for token in written if token != tokenizer.eos_token_id],
        "continuations": continuations,
        "log-probabilities": [log_probabilities(model, prompt, own) for own in continuations],
    }


folder = pathlib.Path(sys.argv[1])
file = next(folder.glob("*.gguf")).name
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
golden = {
    "tiny": [
        tiny("llama-tiny", LlamaConfig(**TINY, tie_word_embeddings=False, rope_theta=500.0)),
        tiny("qwen2-tiny", Qwen2Config(**TINY, tie_word_embeddings=True, use_sliding_window=False)),
        tiny("qwen3-tiny", Qwen3Config(
            **TINY, head_dim=8, tie_word_embeddings=True, use_sliding_window=False,
        )),
        # Pairs of all three kinds: turned as they are, slowed down, and between.
        tiny("llama3-tiny", LlamaConfig(
            **TINY, head_dim=8, tie_word_embeddings=True, rope_parameters={
                "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
            },
        )),
        # A window of four tokens but in the second block.
        tiny("gemma3-tiny", Gemma3TextConfig(
            **TINY, head_dim=8, query_pre_attn_scalar=8, sliding_window=4, sliding_window_pattern=2,
            layer_types=["sliding_attention", "full_attention"],
        )),
        tiny("gpt2-tiny", GPT2Config(
            vocab_size=40, n_embd=24, n_layer=2, n_head=4, n_positions=64,
        )),
    ],
    "texts": [{"text": text, "tokens": tokenizer(text)["input_ids"]} for text in TEXTS],
    "prompts": [of_prompt(model, tokenizer, text) for text in PROMPTS],
}
(HERE / "causal.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")
for prompt in golden["prompts"]:
    print(repr(tokenizer.decode(prompt["written"])), prompt["log-probabilities"])
