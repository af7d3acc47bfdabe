"""The planted data for MSSM: labels follow the fields they should, and the choice and the rule
judge as the script says.
"""

import runpy

import numpy as np
import pandas as pd

from tests.house import ROOT

script = runpy.run_path(str(ROOT / "scripts/reproduce_mssm.py"))
USEFUL = script["USEFUL"]


def test_each_task_depends_on_its_own_fields_and_on_no_other():
    frame = script["generate"](60_000, seed=1)
    assert (
        frame.equals(script["generate"](60_000, seed=1))
        and 0.35 < frame[list(USEFUL)].to_numpy().mean() < 0.65
    )
    for task, useful in USEFUL.items():
        for f in range(script["FIELDS"]):
            rates = frame.groupby(f"f{f}")[task].mean()
            # against chance alone
            spread = rates.std() / np.sqrt(0.25 / (len(frame) / script["IDS"]))
            assert spread > 3 if f in useful else spread < 1.5, (task, f, spread)


def runs(off_aucs, aucs):
    rows = [{"cells": False, "lambda_m": p, "y0": a, "y1": a} for p, a in off_aucs.items()]
    return pd.DataFrame(
        rows + [{"cells": True, "lambda_m": p, "y0": a, "y1": b} for p, (a, b) in aucs.items()]
    )


def test_the_largest_penalty_that_costs_no_task_much_is_chosen():
    off = {0.0: 0.8, 0.3: 0.81}
    assert script["choose"](
        runs(off, {0.3: (0.82, 0.82), 1.0: (0.81, 0.8076), 3.0: (0.82, 0.807)})
    ) == (1.0, 0.3)
    assert script["choose"](runs(off, {0.3: (0.8, 0.8), 1.0: (0.79, 0.79)})) == (0.3, 0.3)


def test_the_rule_needs_both():
    masks = [{"y0": [0.8] * 3 + [0.6] * 2 + [0.3] * 7, "y1": [0.2] * 2 + [0.8] * 3 + [0.2] * 7}]
    table = script["ratios"](masks).set_index("task")
    assert (
        table.loc["y0"].round(4).tolist() == [0.8, 0.6, 0.3, 0.3667, 0.4583]
        and abs(table.loc["y1"].ratio - 0.25) < 1e-9
    )
    verdict, losses = script["verdict"], {"y0": 0.004, "y1": -0.01}
    assert verdict(script["ratios"](masks), 0.61, losses) == {"fields": True, "cells": True}
    assert verdict(script["ratios"](masks), 0.6, losses)["cells"] is False
    assert verdict(script["ratios"](masks), 0.9, {"y0": 0.006, "y1": 0.0})["cells"] is False
    masks[0]["y0"][3:] = [0.6] * 9
    assert verdict(script["ratios"](masks), 0.61, losses)["fields"] is False
