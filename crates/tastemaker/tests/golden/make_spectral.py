"""spectral.json: cosines of rows of a spectral embedding, by numpy (2.4.6).

    python3 make_spectral.py > spectral.json

The data are those of the test in src/tokenisations/collaborative.rs: 400 users, of whom the u-th meets
14 of 300 items (the last two are held out), and an item that nobody meets. The first 12 of 300
eigenvectors; rows 0, 1, ... 19.
"""

import json
import sys

import numpy

n = 300
counts = numpy.zeros((n, n))
for user in range(400):
    met = [(user * 37 + i * i + i * (user % 3)) % (n - 1) for i in range(14)]
    items = set(met[:12])
    for a in items:
        for b in items - {a}:
            counts[a, b] += 1
degrees = counts.sum(1)
scale = numpy.where(degrees > 0, 1 / numpy.sqrt(numpy.maximum(degrees, 1)), 0)
values, vectors = numpy.linalg.eigh(scale[:, None] * counts * scale)
print(values[::-1][:16], file=sys.stderr)
rows = vectors[:, -12:]
rows[degrees == 0] = 0
lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
rows = numpy.where(lengths > 0, rows / numpy.maximum(lengths, 1e-300), 0)
print(json.dumps((rows[:20] @ rows[:20].T).round(6).tolist()))
