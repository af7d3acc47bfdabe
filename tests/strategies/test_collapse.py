"""Plain DARTS slides to skip on a task built for it, the monitor says so, and the auxiliary skip
prevents it.
"""

import numpy as np
import pytest

from automtl.strategies.monitor import CollapseRule
from automtl.strategies.registry import STRATEGIES
from tests.strategies import collapse
from tests.strategies.contexts import search


def ends(seed, auxiliary_skip):
    """The epoch in which the rule fires, None for never, and each operation's mean weight at the
    end.
    """
    records = search(
        STRATEGIES["darts"](collapse.small_context(seed, auxiliary_skip=auxiliary_skip))
    )
    fired = next((e for e in range(len(records)) if CollapseRule().reason(records[: e + 1])), None)
    blocks = [weights for name, weights in records[-1]["choices"].items() if ".block." in name]
    return fired, {
        o: float(np.mean([weights[o] for weights in blocks])) for o in collapse.OPERATIONS
    }


FIRST, *OTHERS = collapse.SEEDS


@pytest.mark.parametrize(
    "seed", [FIRST, *(pytest.param(seed, marks=pytest.mark.slow) for seed in OTHERS)]
)
def test_plain_darts_collapses_the_monitor_fires_and_the_auxiliary_skip_prevents_it(seed):
    fired, weights = ends(seed, 0.0)
    assert fired is not None and max(weights, key=weights.__getitem__) == "skip", (fired, weights)
    fired, weights = ends(seed, 1.0)
    assert fired is None and min(weights, key=weights.__getitem__) == "skip", (fired, weights)
