"""What a training seed adds to the losses of all architectures alike.

Equal seeds share the order of batches and the start of what architectures have in common, and
tables show it: the same seed is lucky, or not, for most architectures. Losses of different seeds
are compared here only after that is taken off.
"""

from statistics import fmean

import numpy as np
import pandas as pd

from automtl.benchmarks.tables import DRAWN, FRESH, first_part, need_table
from automtl.errors import DataError


def seed_effects(table: pd.DataFrame) -> dict[int, float]:
    """By seed what it adds to a loss, from the mean of the fresh seeds on; without fresh ones from
    the mean of all.

    Least squares of loss = architecture + seed + rest, over the trainings that no result chose:
    the first part, and fresh seeds of the random group. The best group was chosen for its luck with
    the first seeds, so that its fresh losses would show a rise that no seed adds.

    Raises:
        ConfigError: it is no table.
        DataError: nothing was trained, or seeds have no architectures in common.
    """
    need_table(table)
    drawn = table[(table["kind"] == DRAWN) & table["loss"].notna()]
    random = list(table.attrs.get("groups", {}).get("random", []))
    fresh = drawn[(drawn["stage"] == FRESH) & drawn["architecture"].isin(random)]
    known = pd.concat([first_part(table), fresh])
    if known.empty:
        raise DataError("table", "must hold trained architectures", "none")
    architecture = pd.get_dummies(known["architecture"], dtype=float)
    seed = pd.get_dummies(known["seed"], dtype=float)
    design = np.concatenate([architecture, seed], axis=1)
    # losses are alike in their first figures
    found, _, rank, _ = np.linalg.lstsq(design, known["loss"] - known["loss"].mean(), rcond=None)
    if rank < design.shape[1] - 1:
        rule = "must have seeds that share architectures, so that their losses can be compared"
        raise DataError("table", rule, f"{design.shape[1] - rank} parts that share none")
    numbers = [int(number) for number in seed.columns]
    effects = dict(zip(numbers, found[architecture.shape[1] :].tolist(), strict=True))
    level = fmean(effects[number] for number in set(fresh["seed"]) or numbers)
    return {number: effect - level for number, effect in effects.items()}


def without_seed_effects(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every `loss` less what its seed adds; NaN where that is not known."""
    need_table(table)
    level = table.assign(loss=table["loss"] - table["seed"].map(seed_effects(table)))
    level.attrs = table.attrs
    return level
