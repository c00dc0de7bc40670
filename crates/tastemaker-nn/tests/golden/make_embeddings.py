"""Makes embeddings.json: texts, and what sentence-transformers makes of them.

    python -m venv env && env/bin/pip install sentence-transformers==6.2.0 torch==2.15.0
    env/bin/python make_embeddings.py ../../../../models/all-minilm-l6-v2

The model is fetched by scripts/fetch-models.sh.
"""

import json
import pathlib
import sys

from sentence_transformers import SentenceTransformer

TEXTS = [
    "The Hunger Games",
    "Nail lacquer, 0.5 oz: “A Oui Bit of Red” (OPI)",
    "",
    "   two   spaces and\ta tab\n",
    "Амели; 千と千尋の神隠し; Ça ira — naïve café",
    "unbelievably-long-wordthatnobodyhaseverwrittenbefore 🎬",
    "[MASK] is a special token, and so is [SEP].",
    "A film about a girl who is lost in a bathhouse of spirits. " * 40,
]

model = SentenceTransformer(sys.argv[1], device="cpu")
embeddings = model.encode(TEXTS, batch_size=len(TEXTS), convert_to_numpy=True)
tokens = [model.tokenizer(text.strip(), truncation=True, max_length=model.max_seq_length)["input_ids"] for text in TEXTS]
golden = {"texts": TEXTS, "tokens": tokens,
          "embeddings": [[round(float(value), 7) for value in row] for row in embeddings]}
path = pathlib.Path(__file__).with_name("embeddings.json")
path.write_text(json.dumps(golden) + "\n", encoding="utf-8")
print(path, embeddings.shape, [len(row) for row in tokens])
