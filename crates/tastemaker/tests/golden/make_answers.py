"""Writes answers.json: means of answers on a scale and their intervals, by scipy.

Student's t for the mean; the variance is at least 1/n, and the ends are within 1 and 5, as
src/report/interviews.rs describes them.

python make_answers.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats

SCALES = [
    [0, 0, 0, 1, 2],
    [1, 1, 0, 0, 0],
    [0, 0, 0, 0, 4],
    [0, 0, 5, 0, 0],
    [3, 1, 4, 1, 5],
    [10, 0, 0, 0, 10],
    [0, 12, 30, 7, 1],
]


def case(scale):
    answers = np.repeat(np.arange(1, 6), scale).astype(float)
    n = len(answers)
    deviation = np.sqrt(max(answers.var(ddof=1), 1 / n) / n)
    low, high = stats.t.interval(0.95, n - 1, loc=answers.mean(), scale=deviation)
    return {"scale": scale, "mean": answers.mean(), "interval": [max(low, 1.0), min(high, 5.0)]}


text = json.dumps([case(scale) for scale in SCALES], indent=1)
Path(__file__).with_name("answers.json").write_text(text + "\n")
