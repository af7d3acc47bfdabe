"""The rows of a small shop, and settings that train on them in a second."""

import numpy as np
import pandas as pd

BRIEF = {"runtime": {"fast_dev_run": True, "threads": 1}, "retrain": {"batch_size": 64}}
QUICK = {"runtime": {"threads": 1}, "retrain": {"batch_size": 64, "epochs": 4}}
DARTS = {"strategy": "darts", "selection": "argmax", "epochs": 2}  # leaves a supernet
SPACE = {
    "base": "automtl_small",
    "num_experts": 4,
    "expert": ["gate", "skip"],
    "interaction": ["skip", "cross(2)"],
}


def shop(rows=300, seed=0):
    """Users, prices; the dearer, the fewer clicks; half of the clicks buy."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"user": draw.integers(0, 30, rows)})
    frame["price"] = draw.gamma(2, 10, rows).round(2)
    frame["click"] = (draw.random(rows) < 1 / (1 + np.exp(0.05 * (frame.price - 20)))).astype(int)
    frame["buy"] = (frame.click * (draw.random(rows) < 0.5)).astype(int)
    return frame
