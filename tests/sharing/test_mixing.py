"""The weighed sum of experts against the formula."""

import pytest
import torch

from automtl.sharing._mixing import WeighedSum, weighed_sum
from automtl.sharing.base import mix

ROWS, WIDTH, EXPERTS = 4, 3, 5


def drawn(*shape, seed=0, dtype=torch.float64):
    return (
        torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        .to(dtype)
        .requires_grad_()
    )


@pytest.mark.parametrize("shape", [(ROWS, EXPERTS), (EXPERTS,)])
def test_gradients_and_their_gradients_by_differences(shape):
    arguments = (drawn(*shape), *(drawn(ROWS, WIDTH, seed=1 + i) for i in range(EXPERTS)))
    assert torch.autograd.gradcheck(WeighedSum.apply, arguments)
    assert torch.autograd.gradgradcheck(WeighedSum.apply, arguments)


@pytest.mark.parametrize("shape", [(ROWS, EXPERTS), (EXPERTS,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_the_formula_for_outputs_of_a_lower_precision_too(shape, dtype):
    weights, experts = (
        drawn(*shape, dtype=torch.float32),
        [drawn(ROWS, WIDTH, seed=1 + i, dtype=dtype) for i in range(EXPERTS)],
    )
    upstream = drawn(ROWS, WIDTH, seed=9, dtype=torch.float32).detach()
    found, expected = (function(weights, experts) for function in (weighed_sum, mix))
    assert torch.equal(found, expected) and found.dtype == torch.float32
    (got, want) = (
        torch.autograd.grad(out, [weights, *experts], upstream) for out in (found, expected)
    )
    assert [g.dtype for g in got] == [w.dtype for w in want]
    torch.testing.assert_close(got, want, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)


def test_without_gradients_it_is_the_formula_itself():
    with torch.no_grad():
        out = weighed_sum(drawn(ROWS, EXPERTS), [drawn(ROWS, WIDTH) for _ in range(EXPERTS)])
    assert out.grad_fn is None and out.shape == (ROWS, WIDTH)
