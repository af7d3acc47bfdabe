"""Products by oneDNN against torch's own."""

import pytest
import torch
from torch.nn import functional

from automtl.layers.kernels import matmul
from automtl.layers.kernels.matmul import product, rectified_times, times


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(
        *shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)
    ).requires_grad_()


def gradients(function, x, weight, upstream=None):
    out = function(x, weight)
    return [
        out,
        *torch.autograd.grad(
            out, [x, weight], torch.ones(()).expand(out.shape) if upstream is None else upstream
        ),
    ]


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(300, 70, 33), (2, 1, 1), (5, 17, 64)])
@pytest.mark.parametrize("turned", [False, True])
def test_values_and_gradients_are_those_of_a_linear_layer(rows, inputs, outputs, turned):
    x, weight = (
        drawn(inputs, rows).t() if turned else drawn(rows, inputs),
        drawn(outputs, inputs, seed=1),
    )
    for upstream in (None, drawn(rows, outputs, seed=2).detach()):
        found, expected = (
            gradients(function, x, weight, upstream) for function in (product, functional.linear)
        )
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_same_bits_again():
    x, weight, upstream = drawn(500, 70), drawn(33, 70, seed=1), drawn(500, 33, seed=2).detach()
    first, again = (gradients(product, x, weight, upstream) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_gradients_and_their_gradients_by_differences(monkeypatch):
    """oneDNN has no float64."""
    monkeypatch.setattr(matmul, "_by_onednn", functional.linear)
    arguments = (drawn(4, 3, dtype=torch.float64), drawn(5, 3, seed=1, dtype=torch.float64))
    assert torch.autograd.gradcheck(matmul.Product.apply, arguments)
    assert torch.autograd.gradgradcheck(matmul.Product.apply, arguments)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_torchs_own(monkeypatch, dtype):
    monkeypatch.setattr(matmul, "_by_onednn", lambda *_: pytest.fail("not for these"))
    x, weight = drawn(4, 3, dtype=dtype), drawn(5, 3, seed=1, dtype=dtype)
    assert torch.equal(product(x, weight), functional.linear(x, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(x.float(), weight.float()).dtype == torch.bfloat16


def test_a_weight_whose_rows_have_gaps_is_not_for_onednn(monkeypatch):
    """oneDNN takes a thousand times as long for it."""
    monkeypatch.setattr(matmul, "_by_onednn", lambda *_: pytest.fail("not for these"))
    monkeypatch.setattr(matmul, "_LARGE", 0)
    x, wide = drawn(4, 3), drawn(5, 8, seed=1)
    assert torch.equal(product(x, wide[:, :3]), functional.linear(x, wide[:, :3]))
    assert torch.equal(times(x, wide[:, :3].t()), x @ wide[:, :3].t())


@pytest.mark.parametrize("large", [0, 2**40])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_times_is_the_product_and_writes_where_it_is_told(monkeypatch, large, turned, dtype):
    monkeypatch.setattr(matmul, "_LARGE", large)
    left, right = (
        drawn(*shape, seed=seed).detach().to(dtype)
        for seed, shape in enumerate([(7, 30), (5, 30) if turned else (30, 5)])
    )
    right = right.t() if turned else right
    expected = (left.double() @ right.double()).to(dtype)
    tolerance = (
        {"rtol": 0.02, "atol": 0.02} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    )
    torch.testing.assert_close(times(left, right), expected, **tolerance)
    for out in (torch.zeros(7, 9, dtype=dtype), torch.zeros(7, 9, dtype=torch.float32)):
        into = out[:, 2:7]
        assert times(left, right, out=into) is into
        torch.testing.assert_close(into, expected.to(out.dtype), **tolerance)
        assert not out[:, :2].any()
        assert not out[:, 7:].any()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rectified_times_is_the_product_cut_off_at_zero(turned, dtype):
    left, right = (
        drawn(*shape, seed=seed).detach().to(dtype)
        for seed, shape in enumerate([(40, 17), (65, 17) if turned else (17, 65)])
    )
    right = right.t() if turned else right
    expected = (left.double() @ right.double()).relu().to(dtype)
    tolerance = (
        {"rtol": 0.02, "atol": 0.02} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    )
    torch.testing.assert_close(rectified_times(left, right), expected, **tolerance)
    wide = torch.cat([right, right], 1)[:, :65]  # its rows have gaps
    torch.testing.assert_close(rectified_times(left, wide), expected, **tolerance)
