"""Makes gemma.json: what llama.cpp makes of texts as tokens of Gemma 3 270M, and what transformers makes
of the tokens.

    python -m venv env
    env/bin/pip install transformers==5.24.0 torch==2.15.0 gguf accelerate llama-cpp-python==0.3.36
    env/bin/python make_gemma.py ../../../../models/gemma3-270m

The model is fetched by scripts/fetch-models.sh. transformers turns its numbers into f32, as we do;
llama.cpp rounds states to eight bits in products, which moves logits of the last prompt by 1.6.
"""

import json
import pathlib
import sys

import torch
from llama_cpp import Llama
from transformers import AutoModelForCausalLM

TEXTS = [
    "The Hunger Games",
    "I'll pay $1,234.50 for 2 tickets — she's said: “naïve café”…\n\n\tOK?  ",
    "Амели; 千と千尋の神隠し 🎬",
    "a  b   c\n\n\nd",
    "",
]
PROMPTS = [
    "A user has liked these films: The Matrix; Blade Runner; Alien. The next film is",
    "The capital of France is",
    # Longer than the window of most blocks.
    "One, two, three, four, five. " * 60,
]
GREEDY = 24

folder, file = pathlib.Path(sys.argv[1]), "gemma-3-270m-q4_k_m.gguf"
tokenizer = Llama(str(folder / file), vocab_only=True, verbose=False)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()


def tokens(text, first):
    return tokenizer.tokenize(text.encode(), add_bos=first, special=False)


def of_prompt(text):
    prompt = tokens(text, True)
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0, -1]
        written = model.generate(
            torch.tensor([prompt]), max_new_tokens=GREEDY, do_sample=False, pad_token_id=0
        )[0, len(prompt):].tolist()
    top = torch.topk(logits, 10)
    return {
        "text": text, "tokens": prompt, "top": top.indices.tolist(),
        "logits": [round(float(x), 4) for x in top.values], "written": written,
    }


golden = {
    "texts": [{"text": text, "tokens": tokens(text, False)} for text in TEXTS],
    "prompts": [of_prompt(text) for text in PROMPTS],
}
path = pathlib.Path(__file__).parent / "gemma.json"
path.write_text(json.dumps(golden) + "\n", encoding="utf-8")
