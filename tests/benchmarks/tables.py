"""Generated rows of tables, for the tests of reading and judging them."""

import json

import numpy as np
import pandas as pd

UNDER = {"commit": "c0", "data_hash": "d0", "split_hash": "s0", "settings_hash": "t0"}


def rows(effects, *, seeds=2, noise=0.001, strata=("cross(1)", "skip"), seed=0, **under):
    """A row per training: architecture i of stratum i mod len(strata) has the mean .5 + effects[i];
    every third of a stratum is sealed.
    """
    rng = np.random.default_rng(seed)
    made = []
    for i, effect in enumerate(effects):
        for s in range(seeds):
            loss = 0.5 + effect + noise * rng.normal()
            stratum, place = strata[i % len(strata)], i // len(strata)
            about = {
                "architecture": f"a{i:03}",
                "kind": "drawn",
                "name": f"{stratum} {place}",
                "stratum": stratum,
                "number": place,
            }
            about |= {
                "sealed": place % 3 == 2,
                "seed": s,
                "stage": "table",
                "loss": loss,
                "loss_b": loss + 0.01,
            }
            made.append({**about, **UNDER, **under})
    return made


AT = [0.125, 0.25, 0.5, 1.0, 2.0, 3.0]
ROWS = {"fit": 1000, "a": 100, "b": 200, "validation": 300}


def frame(effects, *, fresh=3, groups=None, sealed=False, **settings):
    """A whole table: `rows` with FLOPs (100 + architecture's number), parameters (the other way
    round), definitions that tell the number's digits, curves that fall to the last loss, and fresh
    seeds of its groups; without its sealed third, as `load` gives it.
    """
    table = pd.DataFrame(rows(effects, **settings))
    table = table if sealed else table[~table["sealed"]]
    groups = groups or {}
    members = sorted({name for some in groups.values() for name in some})
    more = table[table["architecture"].isin(members) & (table["seed"] == 0)]
    rng = np.random.default_rng(9 + settings.get("seed", 0))
    noise = settings.get("noise", 0.001)
    for seed in range(2, 2 + fresh):
        own = [0.5 + effects[int(name[1:])] + noise * rng.normal() for name in more["architecture"]]
        table = pd.concat([table, more.assign(seed=seed, stage="fresh", loss=own)])
    table = table.reset_index(drop=True)
    number = table["architecture"].str[1:].astype(int)
    table["flops"], table["parameters"] = 100 + number, 9000 - number
    table["definition"] = [
        json.dumps(
            {
                "interaction": [stratum],
                "experts": [{"blocks": [f"x{i % 10}"]}, {"blocks": [f"y{i // 10}"]}],
                "chosen": [[0], [0, 1]],
            }
        )
        for stratum, i in zip(table["stratum"], number, strict=True)
    ]
    table["at"] = [AT] * len(table)
    table["curve_a"] = [[loss + 0.1 / at for at in AT] for loss in table["loss"]]
    table["curve_b"] = table["curve_a"]
    table.attrs = {"rows": ROWS, "groups": groups}
    return table
