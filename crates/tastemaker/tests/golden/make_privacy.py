"""Makes privacy.json: what Opacus says that private training spends, with Google's dp_accounting as a second.

    python -m venv env && env/bin/pip install opacus==1.6.0 dp-accounting==0.6.0 scipy
    env/bin/python make_privacy.py
"""

import itertools
import json
import logging
import pathlib

import dp_accounting
from dp_accounting import rdp as google
from opacus.accountants import RDPAccountant
from opacus.accountants.analysis import rdp as opacus

logging.disable()
ORDERS = RDPAccountant.DEFAULT_ALPHAS
WHOLE = [order for order in ORDERS if order % 1 == 0]
cases, others = [], []
grid = itertools.product([0.5, 0.8, 1.0, 2.5, 6.0], [0.001, 0.01, 0.1, 0.25, 0.7, 1.0], [1, 40, 2000], [1e-5, 1e-3])
for noise, rate, steps, delta in grid:
    spent = opacus.compute_rdp(q=rate, noise_multiplier=noise, steps=steps, orders=ORDERS)
    epsilon, _ = opacus.get_privacy_spent(orders=ORDERS, rdp=spent, delta=delta)
    if epsilon <= 0:
        continue
    # Google gives up orders that are not whole where their series is long, and says 0 where little is spent.
    spent = opacus.compute_rdp(q=rate, noise_multiplier=noise, steps=steps, orders=WHOLE)
    first, _ = opacus.get_privacy_spent(orders=WHOLE, rdp=spent, delta=delta)
    second = google.RdpAccountant(WHOLE, dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    step = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    second.compose(dp_accounting.SelfComposedDpEvent(step, steps))
    if second.get_epsilon(delta) > 0:
        others.append(abs(second.get_epsilon(delta) / first - 1))
    cases.append({"noise": noise, "rate": rate, "steps": steps, "delta": delta, "epsilon": float(epsilon)})
out = pathlib.Path(__file__).with_name("privacy.json")
out.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print(len(cases), "cases; of", len(others), "dp_accounting differs by", max(others), "at most")
assert max(others) < 1e-4
