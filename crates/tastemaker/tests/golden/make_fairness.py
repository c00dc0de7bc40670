"""Makes fairness.json: what objectives against unfairness are, and their gradients, by torch.

    python -m venv env && env/bin/pip install torch && env/bin/python make_fairness.py
"""

import itertools
import json
import pathlib

import torch

torch.manual_seed(20261127)
torch.set_default_dtype(torch.float64)

# Rounded to what f32 can hold.
scores = torch.randn(17).float().double().requires_grad_()
popularity = torch.randint(1, 500, (17,)).double()
correlation = torch.corrcoef(torch.stack([scores, popularity]))[0, 1] ** 2
(of_scores,) = torch.autograd.grad(correlation, scores)

means = (3 + torch.randn(4)).float().double().requires_grad_()
pairs = list(itertools.combinations(range(4), 2))
gap = sum(torch.nn.functional.mse_loss(means[i], means[j]) for i, j in pairs) / len(pairs)
(of_means,) = torch.autograd.grad(gap, means)

out = pathlib.Path(__file__).with_name("fairness.json")
out.write_text(json.dumps({
    "scores": scores.tolist(), "popularity": popularity.tolist(),
    "squared-correlation": correlation.item(), "squared-correlation-gradient": of_scores.tolist(),
    "means": means.tolist(), "squared-gap": gap.item(), "squared-gap-gradient": of_means.tolist(),
}) + "\n")
