"""Golden values of reciprocal rank fusion: ranx 0.3.21.

python crates/tastemaker/tests/golden/make_fusion.py > crates/tastemaker/tests/golden/fusion.json
"""

import json
import random

from ranx import Run, fuse

N_ITEMS, N_LISTS, LENGTH = 12, 3, 8

rng = random.Random(1)
lists = [rng.sample(range(N_ITEMS), LENGTH) for _ in range(N_LISTS)]
runs = [Run({"q": {str(item): float(LENGTH - at) for at, item in enumerate(items)}}) for items in lists]
fused = fuse(runs=runs, norm=None, method="rrf", params={"k": 60}).to_dict()["q"]
scores = sorted((int(item), score) for item, score in fused.items())
print(json.dumps({"n_items": N_ITEMS, "lists": lists, "scores": scores}))
