"""Experts in step: choice blocks that are alike, computed in one go, against one expert after the
other.
"""

import copy

import pytest
import torch
from torch import Tensor, nn

from automtl.layers import _fused_choice_block, choice_block
from automtl.layers.choice_block import in_step
from automtl.layers.normalization import frozen_statistics
from tests.layers.test_fused_choice_block import NESTED, SMALL, assert_equal, plain_block


class Expert(nn.Module):
    def __init__(self, *operations: nn.Module) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operations)

    def forward(self, x: Tensor) -> Tensor:
        for operation in self.operations:
            x = operation(x)
        return x


def expert(
    number: int, width: int = 16, *, operations: list[str] = SMALL, blocks: int = 2, **settings
) -> Expert:
    """Fused blocks in float64, other parameters in each expert and block."""
    made = []
    for place in range(blocks):
        block = plain_block(operations, width, **settings)
        block.fused = True
        for p in block.parameters():
            p.data += 0.1 * torch.randn(
                p.shape, generator=torch.Generator().manual_seed(10 * number + place), dtype=p.dtype
            )
        made.append(block)
    return Expert(*made)


def inputs(
    count: int, *, shared: bool, rows: int = 50, width: int = 16, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    g = torch.Generator().manual_seed(1)
    made = [
        torch.randn(rows, width, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
        for _ in range(1 if shared else count)
    ]
    return made * count if shared else made


def run(experts: list[nn.Module], xs: list[Tensor], *, abreast: bool) -> dict[str, Tensor]:
    """Outputs, running statistics and gradients."""
    outs = in_step(experts, xs) if abreast else [e(x) for e, x in zip(experts, xs, strict=True)]
    torch.stack(outs).mul(
        torch.randn(len(outs), *outs[0].shape, generator=torch.Generator().manual_seed(2))
    ).sum().backward()
    named = [(n, p) for e in experts for n, p in e.named_parameters()]
    flat = {
        "out": torch.stack(outs),
        "statistics": torch.cat(
            [b.flatten() for e in experts for n, b in e.named_buffers() if "running" in n]
        ),
        "x": torch.stack([x.grad for x in xs]),
        "alpha": torch.stack([p.grad for n, p in named if n.endswith("alpha")]),
        "weights": torch.cat(
            [p.grad.flatten() for n, p in named if not n.endswith("alpha") and p.grad is not None]
            or [torch.empty(0)]
        ),
    }
    return {name: tensor.detach().double().clone() for name, tensor in flat.items()}


def fresh(experts: list[Expert], dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    return [copy.deepcopy(e).to(dtype) for e in experts]


@pytest.fixture
def goes(monkeypatch) -> list[int]:
    """How many blocks went together, per time that any were fused."""
    seen: list[int] = []

    def counting(xs, *rest, **settings):
        seen.append(len(xs))
        return _fused_choice_block.fused_sum(xs, *rest, **settings)

    monkeypatch.setattr(choice_block, "fused_sum", counting)
    return seen


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("operations", "width", "nested"),
    [(SMALL, 16, False), (["conv1d(7)", "skip"], 3, False), *NESTED[::2]],
)
def test_equals_one_after_the_other(goes, operations, width, nested, shared):
    experts = [expert(n, width, operations=operations, nested=nested) for n in range(3)]
    expected = run(fresh(experts), inputs(3, shared=shared, width=width), abreast=False)
    assert goes == [1] * 6
    assert_equal(
        run(fresh(experts), inputs(3, shared=shared, width=width), abreast=True),
        expected,
        values=1e-9,
        gradients=1e-9,
    )
    assert goes[6:] == [3, 3]


@pytest.mark.parametrize("shared", [True, False])
def test_float32_and_bfloat16_stay_as_near_as_one_after_the_other(shared):
    experts = [expert(n) for n in range(3)]
    exact = run(fresh(experts), inputs(3, shared=shared), abreast=False)
    single = run(
        fresh(experts, torch.float32), inputs(3, shared=shared, dtype=torch.float32), abreast=True
    )
    assert_equal(single, exact, values=1e-4, gradients=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        low = run(
            fresh(experts, torch.float32),
            inputs(3, shared=shared, dtype=torch.float32),
            abreast=True,
        )
    assert_equal(low, exact, values=0.05, gradients=0.2)
    assert (low["out"] - exact["out"]).abs().max() > 1e-4


def test_alpha_step_makes_no_gradient_of_weights_and_moves_no_statistics():
    experts = [expert(n) for n in range(3)]
    for e in experts:
        for name, p in e.named_parameters():
            p.requires_grad_(name.endswith("alpha"))
    expected, got = fresh(experts), fresh(experts)
    with frozen_statistics(nn.ModuleList(expected)), frozen_statistics(nn.ModuleList(got)):
        one = run(expected, inputs(3, shared=False), abreast=False)
        assert_equal(
            run(got, inputs(3, shared=False), abreast=True), one, values=1e-9, gradients=1e-9
        )
    assert all(
        p.grad is None for e in got for n, p in e.named_parameters() if not n.endswith("alpha")
    )
    buffers = [
        zip(a.buffers(), b.buffers(), strict=True) for a, b in zip(experts, got, strict=True)
    ]
    assert all(torch.equal(before, after) for pair in buffers for before, after in pair)


def test_tied_alphas_gather_the_gradient_of_all():
    experts = [expert(n) for n in range(3)]
    one, other = fresh(experts), fresh(experts)
    for tied in (one, other):
        for e in tied:
            for block in e.operations:
                block.alpha = tied[0].operations[0].alpha
    expected = run(one, inputs(3, shared=False), abreast=False)
    assert_equal(
        run(other, inputs(3, shared=False), abreast=True), expected, values=1e-9, gradients=1e-9
    )


def test_shares_stand_for_the_softmax():
    experts = [expert(n) for n in range(2)]
    for e in experts:
        e.operations[0].shares = torch.rand(len(SMALL), dtype=torch.float64)
    experts[0].operations[1].shares = torch.rand(len(SMALL), dtype=torch.float64)
    for e in experts:
        e.operations[0].alpha.requires_grad_(False)
    xs = [x.detach() for x in inputs(2, shared=False)]
    expected = [e(x) for e, x in zip(fresh(experts), xs, strict=True)]
    torch.testing.assert_close(in_step(fresh(experts), xs), expected, rtol=1e-9, atol=1e-9)


def changed(experts: list[Expert], how: str) -> None:
    second = experts[1].operations[1]
    if how == "path":
        second.path = 1
    elif how == "straightforward":
        second.fused = False
    elif how == "auxiliary skip":
        second.auxiliary_skip = 0.9
    elif how == "other operations":
        experts[1].operations[1] = expert(5, operations=SMALL[1:]).operations[0]
    elif how == "longer":
        experts[1].operations.append(expert(5).operations[0])
    elif how == "evaluation":
        for e in experts:
            e.eval()


@pytest.mark.parametrize(
    "how", ["path", "straightforward", "auxiliary skip", "other operations", "longer", "evaluation"]
)
def test_what_is_not_alike_goes_one_after_the_other(goes, how):
    experts = [expert(n) for n in range(3)]
    changed(experts, how)
    xs = [x.detach() for x in inputs(3, shared=False)]
    expected = [e(x) for e, x in zip(fresh(experts), xs, strict=True)]
    torch.testing.assert_close(in_step(fresh(experts), xs), expected, rtol=0, atol=0)
    assert set(goes) <= {1}


def test_dropout_is_drawn_expert_by_expert(goes):
    generator = torch.Generator()
    experts = [expert(n, dropout=0.3, generator=generator) for n in range(2)]
    outs = []
    for abreast in (False, True):
        generator.manual_seed(3)
        xs = [x.detach() for x in inputs(2, shared=False)]
        outs.append(
            in_step(experts, xs) if abreast else [e(x) for e, x in zip(experts, xs, strict=True)]
        )
    torch.testing.assert_close(outs[1], outs[0], rtol=0, atol=0)
    assert set(goes) == {1}


def test_modules_of_any_kind_go_one_after_the_other():
    layers = [nn.Linear(4, 4) for _ in range(2)]
    xs = [torch.randn(3, 4) for _ in range(2)]
    for got, layer, x in zip(in_step(layers, xs), layers, xs, strict=True):
        assert torch.equal(got, layer(x))
