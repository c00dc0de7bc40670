"""Makes beyond.json: random lists over a small catalog, and what others say of them.

    python -m venv env
    env/bin/pip install rectools==0.19.0 ranx==0.3.21 scikit-learn==1.9.1 scipy==1.17.1 \
        inequality==1.1.2 pandas
    env/bin/python make_beyond.py

ranx: r-precision. scikit-learn: AUC. scipy: entropy, Jaccard's distance, Kullback and Leibler's
divergence. inequality (PySAL): Gini. RecTools: novelty, serendipity, average popularity. APLT is
counted here, by its definition.
"""

import json
import pathlib
import random

import numpy as np
import pandas as pd
from inequality.gini import Gini
from ranx import Qrels, Run, evaluate
from rectools import Columns
from rectools.metrics import AvgRecPopularity, MeanInvUserFreq, Serendipity
from scipy.spatial.distance import jaccard
from scipy.special import rel_entr
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score

K, USERS, ITEMS, CATEGORIES = 5, 40, 30, 6
rng = random.Random(20261126)
popularity_of = [rng.choice([0, 1, 1, 2, 3, 5, 8, 20]) for _ in range(ITEMS)]
# Users of the training part, each of whom has met an item once at most.
trained = [(user, item) for item in range(ITEMS) for user in rng.sample(range(USERS), popularity_of[item])]
histories = {user: [item for other, item in trained if other == user] for user in range(USERS)}
categories = [sorted(rng.sample(range(CATEGORIES), rng.choice([0, 1, 1, 2, 3]))) for _ in range(ITEMS)]
n_users = sum(bool(history) for history in histories.values())

cases = []
for user in range(USERS):
    scores = [rng.choice([0.0, 1.0, 2.0, rng.random()]) for _ in range(ITEMS)]
    order = sorted(range(ITEMS), key=lambda item: -scores[item])
    cases.append({
        "history": histories[user], "targets": rng.sample(range(ITEMS), rng.choice([1, 1, 3])),
        "items": order, "scores": [scores[item] for item in order],
    })

expected = {}
targets = [set(case["targets"]) for case in cases]
aucs = [
    roc_auc_score([item in own for item in case["items"]], case["scores"])
    for case, own in zip(cases, targets)
]
expected["auc"] = aucs
expected["gauc mean"] = float(np.average(aucs, weights=[len(own) for own in targets]))
qrels = Qrels({f"q{u:02}": {str(item): 1 for item in own} for u, own in enumerate(targets)})
run = Run({
    f"q{u:02}": {str(item): float(ITEMS - rank) for rank, item in enumerate(case["items"])}
    for u, case in enumerate(cases)
})
expected["r-precision"] = [float(x) for x in evaluate(qrels, run, "r-precision", return_mean=False)]

first = [case["items"][:K] for case in cases]
exposure = np.bincount(np.concatenate(first), minlength=ITEMS)
expected["gini"] = float(Gini(exposure).g)
expected["entropy"] = float(entropy(exposure))

reco = pd.DataFrame(
    [(u, item, rank + 1) for u, items in enumerate(first) for rank, item in enumerate(items)],
    columns=[Columns.User, Columns.Item, Columns.Rank],
)
wanted = pd.DataFrame(
    [(u, item) for u, own in enumerate(targets) for item in own], columns=[Columns.User, Columns.Item]
)
before = pd.DataFrame(trained, columns=[Columns.User, Columns.Item])
per_user = lambda series: [float(series[u]) for u in range(USERS)]
expected["novelty"] = per_user(MeanInvUserFreq(K).calc_per_user(reco, before))
expected["average-popularity"] = per_user(AvgRecPopularity(K).calc_per_user(reco, before))
expected["serendipity"] = per_user(
    Serendipity(K).calc_per_user(reco, wanted, before, tuple(range(ITEMS)))
)

total = sum(popularity_of)
more_popular = [sum(n for n in popularity_of if n > own) for own in popularity_of]
tail = {item for item in range(ITEMS) if more_popular[item] >= 0.8 * total}
expected["long-tail"] = [float(np.mean([item in tail for item in items])) for items in first]

rows = np.zeros((ITEMS, CATEGORIES), dtype=bool)
for item, own in enumerate(categories):
    rows[item, own] = True
pairs = [(i, j) for i in range(K) for j in range(i)]
expected["diversity"] = [
    float(np.mean([jaccard(rows[items[i]], rows[items[j]]) for i, j in pairs])) for items in first
]


def shares(items):
    weights = [rows[item] / rows[item].sum() for item in items if rows[item].any()]
    return np.mean(weights, axis=0) if weights else None


def miscalibration(history, items):
    p, q = shares(history), shares(items)
    if p is None:
        return 0.0
    # Not by entropy(p, q̃), which would scale a q̃ that does not add up to 1.
    q = np.zeros(CATEGORIES) if q is None else q
    return float(rel_entr(p, 0.99 * q + 0.01 * p).sum())


expected["miscalibration"] = [
    miscalibration(case["history"], items) for case, items in zip(cases, first)
]
golden = {
    "k": K, "n_users": n_users, "popularity": popularity_of,
    "categories": [[f"c{c}" for c in own] for own in categories], "cases": cases,
    "expected": expected,
}
out = pathlib.Path(__file__).with_name("beyond.json")
out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
