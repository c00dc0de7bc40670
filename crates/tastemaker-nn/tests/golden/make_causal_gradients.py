"""Makes causal_gradients.json: how the loss of the tiny models of make_causal.py changes with each of
their weights, and what it is, by torch.

    env/bin/python make_causal_gradients.py        (packages as for make_causal.py)

The loss is the mean negative log-likelihood of the tokens of a sequence from the fourth on. Of each
gradient its product with sin(0.37 i), i = 0, 1, …, is kept, and its largest number.
"""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
SEQUENCE = [3, 17, 0, 39, 8, 8, 21, 5, 30, 12, 1, 2]
FROM = 3
"""The first token that is asked for."""


def of(folder):
    model = AutoModelForCausalLM.from_pretrained(
        HERE / folder, dtype=torch.float64, attn_implementation="eager",
    ).eval()
    if (embeddings := model.get_input_embeddings()).padding_idx is not None:
        # It would hide from one token what it is read for.
        embeddings.padding_idx = None
    logits = model(torch.tensor([SEQUENCE])).logits[0]
    loss = torch.nn.functional.cross_entropy(
        logits[FROM - 1:-1], torch.tensor(SEQUENCE[FROM:]),
    )
    loss.backward()
    gradients = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.flatten()
        weights = torch.sin(0.37 * torch.arange(len(gradient), dtype=torch.float64))
        gradients[name] = [float(gradient @ weights), float(gradient.abs().max())]
    return {"folder": folder, "tokens": SEQUENCE, "from": FROM, "loss": float(loss),
            "gradients": gradients}


golden = [of(folder) for folder in [
    "llama-tiny", "llama3-tiny", "qwen2-tiny", "qwen3-tiny", "gemma3-tiny", "gpt2-tiny",
]]
(HERE / "causal_gradients.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")
