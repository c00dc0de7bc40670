"""spectral.json: cosines of rows of a spectral embedding, by numpy (2.4.6).

    python3 make_spectral.py > spectral.json

The data are those of the test in src/tokenisations/collaborative.rs: 12 users, of whom the u-th meets
items u to u + 5 of a circle of 8 (the last two are held out), and a ninth item that nobody meets.
"""

import json

import numpy

counts = numpy.zeros((9, 9))
for user in range(12):
    items = {(user + i) % 8 for i in range(4)}
    for a in items:
        for b in items - {a}:
            counts[a, b] += 1
degrees = counts.sum(1)
scale = numpy.where(degrees > 0, 1 / numpy.sqrt(numpy.maximum(degrees, 1)), 0)
values, vectors = numpy.linalg.eigh(scale[:, None] * counts * scale)
print(values, file=__import__("sys").stderr)
rows = vectors[:, -3:]
rows[degrees == 0] = 0
lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
rows = numpy.where(lengths > 0, rows / numpy.maximum(lengths, 1e-300), 0)
print(json.dumps((rows @ rows.T).round(6).tolist()))
