"""One property, two tests: 200 examples that are always the same, and, marked slow, 5,000 new ones
under a bound of memory.

AUTOMTL_FUZZ_SEED=n repeats the 5,000 of a slow run, which tells its n.
"""

import inspect
import os
import random
import resource
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

FEW, MANY = 200, 5_000
MEBIBYTES = 256  # the most by which the peak of memory may grow while one target is fuzzed
EXAMPLES = [
    pytest.param(FEW, id=str(FEW)),
    pytest.param(MANY, id=str(MANY), marks=pytest.mark.slow),
]


def fuzz(**drawn: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make two tests of a property; an argument `folder`, where it has one, is an empty folder of
    the test's own.
    """

    def twice(body: Callable[..., None]) -> Callable[..., None]:
        @pytest.mark.parametrize("examples", EXAMPLES)
        def test(examples: int, tmp_path: Any) -> None:
            given_ = {"folder": tmp_path} if "folder" in inspect.signature(body).parameters else {}

            @given(**drawn)
            def run(**values: Any) -> None:
                body(**values, **given_)

            number = int(os.environ.get("AUTOMTL_FUZZ_SEED", random.SystemRandom().getrandbits(32)))
            if examples != FEW:
                sys.stderr.write(f"AUTOMTL_FUZZ_SEED={number}\n")
                run = seed(number)(run)
            plan = settings(
                max_examples=examples, derandomize=examples == FEW, database=None, deadline=None
            )
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            settings(plan, suppress_health_check=[HealthCheck.too_slow])(run)()
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            assert grown < MEBIBYTES, f"memory grew by {grown:.0f} MiB"

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return twice
