"""Makes predictions.json: ratings and clicks, and what scikit-learn and torchmetrics say of them.

    python -m venv env
    env/bin/pip install scikit-learn==1.9.1 torchmetrics==1.9.0 torch numpy
    env/bin/python make_predictions.py

scikit-learn: RMSE, MAE, AUC, log-loss and NDCG, the last of which takes the mean over the orders of equal
scores, as ours. torchmetrics: the calibration error, where no probability is on an edge of a bin; where
some are, it is counted here, by the formula of Guo et al. 2017. The MRR of MIND is written here from its
formula; where scores are equal, as the mean over all orders.
"""

import itertools
import json
import pathlib

import numpy as np
import torch
from sklearn.metrics import (
    log_loss, mean_absolute_error, ndcg_score, roc_auc_score, root_mean_squared_error,
)
from torchmetrics.classification import BinaryCalibrationError

BINS = [1, 7, 10, 15]
rng = np.random.default_rng(20261126)


def rating(n):
    given = rng.integers(1, 6, n).astype(float)
    foretold = given + rng.normal(0, 1, n)
    return {
        "pairs": np.stack([foretold, given], 1).tolist(),
        "rmse": float(root_mean_squared_error(given, foretold)),
        "mae": float(mean_absolute_error(given, foretold)),
    }


def guo(probabilities, clicked, bins):
    error, n = 0.0, len(clicked)
    for m in range(1, bins + 1):
        inside = (probabilities <= m / bins) & ((probabilities > (m - 1) / bins) | (m == 1))
        if inside.any():
            accuracy, confidence = clicked[inside].mean(), probabilities[inside].mean()
            error += inside.sum() / n * abs(accuracy - confidence)
    return float(error)


def click(n, kind):
    probabilities = rng.beta(2, 4, n)
    if kind == "edges":
        # Equal ones, many of them on edges, and both ends.
        probabilities = rng.choice([0.0, 0.07, 0.1, 0.29, 0.3, 0.5, 0.7, 1.0], n)
    clicked = rng.random(n) < probabilities * 0.7 + 0.1
    of_torchmetrics = lambda bins: float(
        BinaryCalibrationError(n_bins=bins, norm="l1", validate_args=False)(
            torch.tensor(probabilities), torch.tensor(clicked.astype(int))
        )
    )
    errors = [guo(probabilities, clicked, bins) for bins in BINS]
    if kind == "plain":
        theirs = [of_torchmetrics(bins) for bins in BINS]
        # Their edges are in 32 bits.
        assert np.allclose(errors, theirs, atol=1e-6), (errors, theirs)
        errors = theirs
    return {
        "kind": kind, "pairs": list(zip(probabilities.tolist(), clicked.tolist())),
        "auc": float(roc_auc_score(clicked, probabilities)),
        "log-loss": float(log_loss(clicked, probabilities, labels=[False, True])),
        "calibration-errors": errors,
    }


def mrr(clicked, scores):
    """Σ yᵢ / rankᵢ over Σ yᵢ, the mean over all orders in which no better score stands below."""
    orders = [[]]
    for score in sorted(set(scores), reverse=True):
        equal = [i for i, own in enumerate(scores) if own == score]
        orders = [[*o, *p] for o in orders for p in itertools.permutations(equal)]
    ranked = np.array(clicked, dtype=float)[np.array(orders)]
    ranks = np.arange(1, ranked.shape[1] + 1)
    return float(np.mean((ranked / ranks).sum(1) / ranked.sum(1)))


def impression(n, equal):
    scores = rng.choice([0.1, 0.4, 0.6, 0.9], n) if equal else rng.random(n)
    return list(zip(scores.tolist(), (rng.random(n) < 0.3).tolist()))


groups = [impression(int(n), equal=False) for n in rng.integers(2, 40, 60)]
groups += [impression(int(n), equal=True) for n in rng.integers(2, 9, 20)]
groups += [[], [(0.5, True)], [(0.5, False), (0.2, False)]]
both = [group for group in groups if 0 < sum(y for _, y in group) < len(group)]
values = []
for group in both:
    scores, clicked = np.array([p for p, _ in group]), np.array([y for _, y in group])
    ndcg = lambda k: float(ndcg_score([clicked], [scores], k=k))
    values.append([float(roc_auc_score(clicked, scores)), mrr(clicked, scores), ndcg(5), ndcg(10)])
means = np.mean(values, axis=0)
aucs = np.array(values)[:, 0]
shown, clicks = [len(group) for group in both], [sum(y for _, y in group) for group in both]
golden = {
    "ratings": [rating(n) for n in (1, 5, 200)], "bins": BINS,
    "clicks": [click(300, "plain"), click(40, "plain"), click(300, "edges")],
    "groups": groups,
    "grouped": {
        "auc": float(means[0]), "auc-by-shown": float(np.average(aucs, weights=shown)),
        "auc-by-clicks": float(np.average(aucs, weights=clicks)), "mrr": float(means[1]),
        "ndcg-5": float(means[2]), "ndcg-10": float(means[3]),
        "n": len(both), "skipped": len(groups) - len(both),
    },
}
out = pathlib.Path(__file__).with_name("predictions.json")
out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
