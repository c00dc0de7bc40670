"""Makes ranking.json: random lists with ties, and what ranx says of them.

    python -m venv env && env/bin/pip install ranx==0.3.21 && env/bin/python make_golden.py

Scores are small whole numbers, so that most of them are tied. The documented order (descending
score, then the place in a seeded permutation, which is stored) settles the ties; ranx is given
that order as strictly descending scores, since its own order among ties is not defined.
"""

import json
import pathlib
import random

from ranx import Qrels, Run, evaluate

K = [1, 5, 10, 20]
METRICS = {"hit-rate": "hit_rate", "recall": "recall", "precision": "precision",
           "ndcg": "ndcg", "mrr": "mrr", "map": "map"}

random.seed(20261123)
cases, qrels, run = [], {}, {}
for user in range(60):
    n_items = random.choice([30, 50])
    places = list(range(n_items))
    random.shuffle(places)
    scores = [random.randrange(0, random.choice([2, 4, 1000])) for _ in range(n_items)]
    targets = random.sample(range(n_items), random.choice([1, 1, 2, 5, 12]))
    order = sorted(range(n_items), key=lambda item: (-scores[item], places[item]))
    cases.append({"places": places, "scores": scores, "targets": targets})
    qrels[f"q{user:02}"] = {str(item): 1 for item in targets}
    run[f"q{user:02}"] = {str(item): float(n_items - rank) for rank, item in enumerate(order)}

expected = {}
for ours, theirs in METRICS.items():
    for k in K:
        values = evaluate(Qrels(qrels), Run(run), f"{theirs}@{k}", return_mean=False)
        expected[f"{ours}@{k}"] = [float(value) for value in values]

out = pathlib.Path(__file__).with_name("ranking.json")
out.write_text(json.dumps({"cases": cases, "expected": expected}, separators=(",", ":")) + "\n")
