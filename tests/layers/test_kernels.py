"""Every kernel against the same in plain torch: values and gradients, on the pairs that the bench
times.
"""

import ast
import runpy
from pathlib import Path

import pytest
import torch

from automtl.layers.kernels.matmul import rectified_times, rectified_times_reference, times

ROOT = Path(__file__).parents[2]
BENCH = runpy.run_path(str(ROOT / "scripts" / "bench_kernels.py"))
PAIRS, SMALL, both_ways = BENCH["PAIRS"], BENCH["SMALL"], BENCH["both_ways"]
# oneDNN multiplies float32 alone; all else is compared in float64
TYPES = dict.fromkeys(PAIRS, torch.float64) | {"product": torch.float32}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_those_of_the_reference(name):
    pair, dtype = PAIRS[name], TYPES[name]
    arguments = pair.arguments(SMALL, dtype)
    fast, plain = (both_ways(function, arguments) for function in (pair.fast, pair.reference))
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {}
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, check_dtype=False, **tolerance)


def test_products_without_a_gradient_are_those_of_the_reference():
    left, right = (torch.randn(shape, generator=torch.manual_seed(0)) for shape in ((7, 5), (5, 9)))
    torch.testing.assert_close(times(left, right), left @ right)
    torch.testing.assert_close(rectified_times(left, right), rectified_times_reference(left, right))


def test_every_kernel_has_a_reference_and_the_bench_a_pair_for_it():
    text = (ROOT / "scripts" / "bench_kernels.py").read_text(encoding="utf-8")
    for path in (ROOT / "automtl" / "layers" / "kernels").glob("[a-z]*.py"):
        names = {
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        }
        references = {name for name in names if name.endswith("_reference")}
        assert references, path.name
        timed = references - {"rectified_times_reference"}  # a step of `product_pair`
        assert all(name in text for name in timed), timed


def test_the_bench_prints_a_row_for_each_pair(capsys):
    BENCH["main"](["--rounds", "1", "--rows", "16", "--threads", str(torch.get_num_threads())])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(PAIRS)
