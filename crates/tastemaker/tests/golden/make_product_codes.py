"""Makes product_codes.json: vectors whose numbers hang together, and how far faiss's product quantisation
leaves them from their codes' centroids, with and without a rotation before (OPQ).

    python -m venv env && env/bin/pip install faiss-cpu==1.15.1
    env/bin/python make_product_codes.py
"""

import json
import pathlib

import faiss
import numpy

WIDTH, GROUPS, BITS, N = 16, 4, 3, 400

numbers = numpy.random.default_rng(1)
spread = numpy.diag(0.7 ** numpy.arange(WIDTH)) @ numbers.normal(size=(WIDTH, WIDTH))
values = (numbers.normal(size=(N, WIDTH)) @ spread).round(3).astype("float32")


def distance(rotated):
    quantiser = faiss.ProductQuantizer(WIDTH, GROUPS, BITS)
    quantiser.train(rotated)
    again = quantiser.decode(quantiser.compute_codes(rotated))
    return float(((rotated - again) ** 2).sum(axis=1).mean())


rotation = faiss.OPQMatrix(WIDTH, GROUPS)
rotation.pq = faiss.ProductQuantizer(WIDTH, GROUPS, BITS)
rotation.train(values)
golden = {
    "values": [float(f"{value:.3f}") for value in values.flatten()],
    "plain": distance(values), "rotated": distance(rotation.apply(values)),
}
print({key: golden[key] for key in ["plain", "rotated"]})
path = pathlib.Path(__file__).parent / "product_codes.json"
path.write_text(json.dumps(golden) + "\n", encoding="utf-8")
