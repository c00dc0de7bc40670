"""Makes significance.json: pairs of values, and what scipy and statsmodels say of them.

    python -m venv env && env/bin/pip install scipy==1.17.1 statsmodels numpy
    env/bin/python make_significance.py
"""

import json
import pathlib

import numpy as np
from scipy.stats import bootstrap, norm, permutation_test, t, ttest_rel, wilcoxon
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(20261126)
cases = []
for n, kind in [(8, "plain"), (20, "plain"), (25, "plain"), (60, "plain"), (300, "hits"), (12, "hits")]:
    if kind == "plain":
        a = rng.normal(0.3, 1.0, n)
        b = rng.normal(0.0, 1.0, n)
    else:
        # As hit rates and NDCG are: few values, many of them equal.
        values = np.array([0.0, 0.0, 0.0, 0.5, 0.6309, 1.0])
        a, b = rng.choice(values, n), rng.choice(values, n, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    d = a - b
    exact = kind == "plain" and n <= 25
    statistic = lambda x, y, axis: np.mean(x - y, axis=axis)
    permuted = permutation_test(
        (a, b), statistic, permutation_type="samples", vectorized=True, axis=-1,
        n_resamples=np.inf if n <= 12 else 50_000, rng=rng,
    )
    interval = bootstrap(
        (d,), np.mean, method="percentile", n_resamples=100_000, rng=rng
    ).confidence_interval
    cases.append({
        "a": a.tolist(), "b": b.tolist(), "t": float(ttest_rel(a, b).pvalue),
        "wilcoxon": float(wilcoxon(
            a, b, zero_method="wilcox", correction=False, method="exact" if exact else "asymptotic",
        ).pvalue),
        "randomisation": float(permuted.pvalue), "interval": [float(interval.low), float(interval.high)],
        "cohens-d": float(d.mean() / d.std(ddof=1)),
    })
p = [0.04, 0.001, 0.2, 0.03, 0.03, 0.9]
golden = {
    "cases": cases, "p": p,
    "holm": multipletests(p, method="holm")[1].tolist(),
    "benjamini-hochberg": multipletests(p, method="fdr_bh")[1].tolist(),
    # Of n users and m comparisons, Hesterberg's correction of intervals that are too narrow.
    "widening": [
        [n, m, float(t.ppf(1 - 0.025 / m, n - 1) / norm.ppf(1 - 0.025 / m) * np.sqrt(n / (n - 1)))]
        for n in (2, 3, 12, 30, 1000, 100_000) for m in (1, 10)
    ],
}
out = pathlib.Path(__file__).with_name("significance.json")
out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
