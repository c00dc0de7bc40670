"""Makes similarity.json: embeddings, and what others say of how near they are.

    python -m venv env
    env/bin/pip install bert_score==0.3.13 scikit-learn==1.9.1 rectools==0.19.0 torch pandas
    env/bin/python make_similarity.py

bert_score: its matching of tokens, given embeddings instead of a model. scikit-learn: cosines. RecTools:
intra-list diversity, with cosine distances.
"""

import json
import pathlib

import numpy as np
import pandas as pd
import torch
from bert_score.utils import greedy_cos_idf
from rectools import Columns
from rectools.metrics import IntraListDiversity
from rectools.metrics.distances import PairwiseDistanceCalculator
from sklearn.metrics.pairwise import cosine_similarity

WIDTH = 6
rng = np.random.default_rng(20261126)
embeddings = lambda n: rng.normal(0.3, 1, (n, WIDTH)).astype(np.float32)
pairs = [(embeddings(n), embeddings(m)) for n, m in [(1, 1), (3, 7), (7, 3), (12, 9), (1, 5)]]


def of_bert_score(own, other):
    one = lambda tokens: (
        torch.tensor(tokens, dtype=torch.float64)[None], torch.ones(1, len(tokens)),
        torch.ones(1, len(tokens), dtype=torch.float64),
    )
    # Right texts first.
    return [float(value) for value in greedy_cos_idf(*one(other), *one(own))]


class Cosine(PairwiseDistanceCalculator):
    def _get_distances_for_item_pairs(self, items_0, items_1):
        return np.array([1 - cosine_similarity(items[[i]], items[[j]])[0, 0] for i, j in zip(items_0, items_1)])


items = embeddings(8).astype(np.float64)
reco = pd.DataFrame({Columns.User: 0, Columns.Item: range(8), Columns.Rank: range(1, 9)})
sentences = [(own[0], other[0]) for own, other in pairs]
precision, recall, f1 = np.mean([of_bert_score(*pair) for pair in pairs], axis=0).tolist()
golden = {
    "pairs": [(own.tolist(), other.tolist()) for own, other in pairs],
    "precision": precision, "recall": recall, "f1": f1,
    # Of the first embeddings of each pair.
    "cosine": float(np.mean([cosine_similarity([a], [b])[0, 0] for a, b in sentences])),
    "items": items.tolist(), "diversity": float(IntraListDiversity(8, Cosine()).calc(reco)),
}
out = pathlib.Path(__file__).with_name("similarity.json")
out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
