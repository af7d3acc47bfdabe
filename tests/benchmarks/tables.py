"""Generated rows of tables, for the tests of reading and judging them."""

import numpy as np

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
