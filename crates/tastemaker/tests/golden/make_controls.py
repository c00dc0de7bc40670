"""Makes controls.json: scores of EASE and item-kNN by numpy, and of BM25 by bm25s.

    python -m venv env && env/bin/pip install numpy bm25s==0.2.13 && env/bin/python make_controls.py

The last two items of a sequence are targets (leave-last-out), so they are not learnt from.
"""

import json
import pathlib
import random

import bm25s
import numpy as np

random.seed(20261123)
N_ITEMS, HISTORY = 12, [3, 7, 1]
sequences = [random.sample(range(N_ITEMS), random.randrange(4, 10)) for _ in range(40)]
words = "red blue green old new dog cat bird sea sky".split()
titles = [" ".join(random.choices(words, k=random.randrange(2, 7))) for _ in range(N_ITEMS)]

x = np.zeros((len(sequences), N_ITEMS))
for user, sequence in enumerate(sequences):
    x[user, sequence[:-2]] = 1

p = np.linalg.inv(x.T @ x + 5.0 * np.eye(N_ITEMS))
b = -p / np.diag(p)
np.fill_diagonal(b, 0)
ease = b[HISTORY].sum(axis=0)

both = x.T @ x
n = np.diag(both)
similarity = both / (np.sqrt(np.outer(n, n)) + 2.0)
np.fill_diagonal(similarity, 0)
knn = similarity[HISTORY].sum(axis=0)

corpus = [title.split() for title in titles]
index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
index.index(corpus, show_progress=False)
query = [word for item in HISTORY for word in corpus[item]]
bm25 = sum(index.get_scores([word]) for word in query)

out = pathlib.Path(__file__).with_name("controls.json")
out.write_text(json.dumps({
    "sequences": sequences, "titles": titles, "history": HISTORY,
    "ease": ease.tolist(), "item-knn": knn.tolist(), "bm25": [float(s) for s in bm25],
}, separators=(",", ":")) + "\n")
