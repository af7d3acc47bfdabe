#!/usr/bin/env python
"""From a pandas DataFrame to predictions in Python: search, retrain, predict. Run it in an empty
folder; it takes a minute or two.

python example_dataframe.py          (--fast: a few batches only, to see that it runs)
"""

import sys

import numpy as np
import pandas as pd

import automtl

FAST = {"runtime": {"fast_dev_run": True}} if "--fast" in sys.argv else {}

rng = np.random.default_rng(0)
ROWS = 4000
frame = pd.DataFrame(
    {
        "user": rng.integers(0, 200, ROWS),
        "item": rng.integers(0, 100, ROWS),
        "price": rng.gamma(2.0, 10.0, ROWS),
    },
)
frame["click"] = (
    rng.random(ROWS) < 1 / (1 + np.exp(0.04 * (frame.price - 20) - 0.02 * (frame.user - 100)))
).astype(int)
frame["buy"] = frame.click * (rng.random(ROWS) < 0.3 + 0.004 * (frame.item - 50))

# What is in it: the same words as in a data set's YAML file, but for `files`.
SHOP = {
    "name": "shop",
    "features": [
        {"name": "user", "kind": "categorical"},
        {"name": "item", "kind": "categorical"},
        {"name": "price", "kind": "numeric", "transform": "log1p"},
    ],
    "tasks": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
    "split": {"kind": "random", "train": 0.8, "validation": 0.1, "test": 0.1},
}

found = automtl.search(SHOP, frame=frame, space="automtl_small", out="runs/shop", **FAST)
print(found.architecture.interaction, [expert.blocks for expert in found.architecture.experts])

trained = automtl.retrain(found.run, seeds=[0], **FAST)
print(found.leaderboard())

scores = automtl.predict(
    found.run, frame.drop(columns=["click", "buy"]).tail(5), keep=["user", "item"]
)
print(scores)
