"""Loss and gradients of a small RQ-VAE by jax; writes rq_vae.json beside this file.

    pip install jax
    python make_rq_vae.py
"""
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(1)
WIDTHS, LEVELS, CODES = [6, 5, 3], 2, 4
shapes = {}
for layer in range(2):
    for half, widths in [("encoder", WIDTHS), ("decoder", WIDTHS[::-1])]:
        shapes[f"{half}.{layer}.weight"] = (widths[layer + 1], widths[layer])
        shapes[f"{half}.{layer}.bias"] = (widths[layer + 1],)
for level in range(LEVELS):
    shapes[f"level.{level}.centroids"] = (CODES, WIDTHS[-1])
parameters = {name: jnp.array(rng.normal(size=shape).round(3)) for name, shape in shapes.items()}
x = jnp.array(rng.normal(size=(9, WIDTHS[0])).round(3))


def half(p, which, x):
    for layer in range(2):
        x = x @ p[f"{which}.{layer}.weight"].T + p[f"{which}.{layer}.bias"]
        x = jax.nn.relu(x) if layer == 0 else x
    return x


def loss(p):
    stop = jax.lax.stop_gradient
    z = half(p, "encoder", x)
    rest, total, quantised, codes = z, 0.0, 0.0, []
    for level in range(LEVELS):
        table = p[f"level.{level}.centroids"]
        own = jnp.argmin(((rest[:, None] - table[None]) ** 2).sum(-1), axis=1)
        chosen = table[own]
        total += ((stop(rest) - chosen) ** 2).sum() + 0.25 * ((rest - stop(chosen)) ** 2).sum()
        rest, quantised = rest - stop(chosen), quantised + chosen
        codes.append(own)
    back = half(p, "decoder", z + stop(quantised - z))
    return (((x - back) ** 2).sum() + total) / len(x), codes


(value, codes), gradients = jax.value_and_grad(loss, has_aux=True)(parameters)
flat = lambda a: np.asarray(a).ravel().tolist()
golden = {
    "x": flat(x),
    "parameters": {name: flat(value) for name, value in parameters.items()},
    "loss": float(value),
    "codes": [flat(own) for own in codes],
    "gradients": {name: flat(value) for name, value in gradients.items()},
}
Path(__file__).with_name("rq_vae.json").write_text(json.dumps(golden) + "\n")
