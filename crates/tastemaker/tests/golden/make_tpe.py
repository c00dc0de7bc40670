"""Writes tpe.json: densities of trials as src/search/tpe.rs describes them, by scipy.

python make_tpe.py, with scipy 1.17.1 and numpy.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import truncnorm


def log_density(trials, at):
    trials = np.sort(trials)
    n = len(trials)
    around = np.concatenate([[0.0], trials, [1.0]])
    deviation = np.maximum(around[1:-1] - around[:-2], around[2:] - around[1:-1])
    deviation = np.clip(deviation, 1 / min(100, n + 1), 1)
    means, deviations = np.append(trials, 0.5), np.append(deviation, 1.0)
    parts = [
        truncnorm.pdf(at, (0 - m) / s, (1 - m) / s, loc=m, scale=s)
        for m, s in zip(means, deviations)
    ]
    return np.log(np.mean(parts, axis=0))


rng = np.random.default_rng(1)
cases = []
for n in [0, 1, 3, 12, 150]:
    trials, at = rng.random(n), rng.random(7)
    cases.append({"trials": trials.tolist(), "at": at.tolist(), "log": log_density(trials, at).tolist()})
Path(__file__).with_name("tpe.json").write_text(json.dumps(cases, indent=1) + "\n")
