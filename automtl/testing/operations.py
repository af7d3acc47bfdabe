"""What every operation keeps, whatever it computes: a candidate of experts, (B, D) -> (B, width),
or of interactions, (B, F, d) -> (B, F*d).

Legend: B rows, F fields, d their width, D width of an expert's input.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automtl.errors import ConfigError
from automtl.layers.interaction import build_interaction
from automtl.layers.normalization import frozen_statistics
from automtl.layers.operations import build_operation
from automtl.models.skeleton import seeded
from automtl.spaces.operations import OPERATIONS, Operation
from automtl.testing.rules import (
    Rules,
    demand,
    demand_close,
    demand_finite,
    demand_same,
    on_meta,
)

RULES: Rules["OperationCase"] = Rules()

_DROPOUT, _STEP = 0.5, 1e-6


@dataclass(frozen=True)
class OperationCase:
    """An operation in its place.

    Args:
        name: for messages.
        shape: of a row: (D,), or (F, d).
        make: ``make(seed=..., noise=..., dropout=..., batch_norm=...)`` builds it in float64, its
            weights drawn from `seed`, its generator from `noise` (None for no generator).
        keeps_width: its output is as wide as its input.
        closed: a BatchNorm and dropout end it.
    """

    name: str
    shape: tuple[int, ...]
    make: Callable[..., nn.Module]
    keeps_width: bool = True
    closed: bool = True

    def rows(self, count: int = 16, seed: int = 3) -> Tensor:
        """Standard normal numbers, (count, *shape)."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(count, *self.shape, dtype=torch.float64, generator=generator)


def operation_case(
    text: str, place: str, *, width: int = 6, num_fields: int = 3, dim: int = 8
) -> OperationCase:
    """The case of a known operation.

    Args:
        text: as a space writes it, such as "mlp(64)".
        place: "expert" or "interaction".
        width: D, for an expert.
        num_fields: F, for an interaction.
        dim: d, for an interaction.

    Raises:
        ConfigError: there is no such operation in that place.
    """
    if place not in ("expert", "interaction"):
        raise ConfigError("check_operation", "place must be expert or interaction", repr(place))
    operation = Operation.parse(text, place)
    signature = OPERATIONS[operation.name]
    expert = place == "expert"
    build: Callable[..., nn.Module] = (
        partial(build_operation, operation, width_in=width)
        if expert
        else partial(build_interaction, operation, num_fields=num_fields, dim=dim)
    )

    def make(
        *,
        seed: int = 1,
        noise: int | None = 7,
        dropout: float = 0.0,
        batch_norm: bool = True,
    ) -> nn.Module:
        generator = None if noise is None else torch.Generator().manual_seed(noise)
        with seeded(seed):
            module = build(dropout=dropout, batch_norm=batch_norm, generator=generator)
        return module.double()

    return OperationCase(
        f"{place} operation {text!r}",
        (width,) if expert else (num_fields, dim),
        make,
        keeps_width=not signature.changes_width,
        closed=signature.closed,
    )


def _trained(case: OperationCase, **settings: float) -> nn.Module:
    """One that has seen some batches, so that nothing in it is as it began."""
    module = case.make(**settings).train()
    optimizer = torch.optim.SGD([*module.parameters(), nn.Parameter(torch.zeros(1))], lr=0.05)
    for seed in range(3):
        out = module(case.rows(seed=seed))
        if out.requires_grad:
            (out - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return module


@RULES.at()
def rows_of_its_width(case: OperationCase) -> None:
    """It answers (B, width_out) of finite numbers in the type of its input, in training and in
    evaluation, one row included; as wide as its input unless its signature ``changes_width``.
    """
    module = case.make()
    width = getattr(module, "width_out", None)
    demand(isinstance(width, int), "must say its width in `width_out`", width)
    flat = case.rows()[0].numel()
    demand(width == flat or not case.keeps_width, f"must be {flat} wide as its input is", width)
    for training, count in ((True, 16), (False, 16), (False, 1)):
        out = module.train(training)(case.rows(count))
        demand(out.shape == (count, width), f"must answer ({count}, {width})", tuple(out.shape))
        demand(out.dtype == torch.float64, "must keep its input's type, torch.float64", out.dtype)
        demand_finite([out], f"must answer finite numbers in {'train' if training else 'eval'}()")


@RULES.at()
def evaluation_repeats(case: OperationCase) -> None:
    """In evaluation the same rows give the same bits each time."""
    module, x = _trained(case, dropout=_DROPOUT).eval(), case.rows()
    demand_same([module(x)], [module(x)], "must answer the same rows by the same bits")


@RULES.at()
def its_input_stays_as_it_was(case: OperationCase) -> None:
    """No pass changes the numbers that it is given: the candidates beside it read them, too."""
    module, x = case.make(), case.rows()
    for training in (True, False):
        module.train(training)(x)
        demand_same([x], [case.rows()], "must leave the numbers that it is given as they were")


@RULES.at()
def rows_do_not_see_each_other(case: OperationCase) -> None:
    """In evaluation a row's answer does not change with the rows beside it."""
    module, x = _trained(case).eval(), case.rows()
    rule = "a row must get the same answer beside other rows"
    demand_close([module(x[3:5])], [module(x)[3:5]], rule)


@RULES.at()
def a_finite_gradient_to_everything_that_is_built(case: OperationCase) -> None:
    """A step gives the input and every parameter a finite gradient; in evaluation none is all
    zero.
    """
    for training in (True, False):
        module = _trained(case).train(training)
        x = case.rows(64).requires_grad_()
        module(x).cos().sum().backward()
        for name, tensor in [("its input", x), *module.named_parameters()]:
            gradient = tensor.grad
            demand(gradient is not None, "everything must get a gradient", f"none for {name}")
            assert gradient is not None
            demand_finite([gradient], f"the gradient of {name} must be finite")
            rule = "everything must change something"
            demand(training or bool(gradient.any()), rule, f"a gradient of zeros for {name}")


@RULES.at()
def gradients_are_those_of_its_output(case: OperationCase) -> None:
    """Along a random direction of input and parameters, the gradient is what the output's finite
    difference is.
    """
    module, x = _trained(case).eval(), case.rows().requires_grad_()
    tensors = [x, *module.parameters()]
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in [module(x), *tensors]
    ]
    # of length 1, so that no ReLU is likely to turn on the way
    length = torch.cat([t.flatten() for t in drawn[1:]]).norm()
    weights, way = drawn[0], [t / length for t in drawn[1:]]
    gradients = torch.autograd.grad((module(x) * weights).sum(), tensors)
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, way, strict=True))
    ends = []
    with torch.no_grad():
        for step in (_STEP, -2 * _STEP):
            for tensor, direction in zip(tensors, way, strict=True):
                tensor += step * direction
            ends.append(float((module(x) * weights).sum()))
    numeric = (ends[0] - ends[1]) / (2 * _STEP)
    rule = f"the gradient must be that of the output, {numeric:.6g} along one direction"
    demand(abs(slope - numeric) <= 1e-6 * max(1.0, abs(numeric)), rule, f"{slope:.6g}")


@RULES.at()
def noise_is_of_the_generator_that_is_passed(case: OperationCase) -> None:
    """The same seeds give the same bits in training, and torch's own generator is left alone;
    another generator's numbers give another answer where dropout ends it, and nowhere else.
    """
    x, answers = case.rows(), []
    for noise in (7, 7, 8):
        with seeded(1):
            answers.append([case.make(dropout=_DROPOUT, noise=noise).train()(x)])
            drawn = torch.rand(1)
        with seeded(1):
            rule = "must draw from the generator that is passed, and leave torch's own alone"
            demand(torch.equal(drawn, torch.rand(1)), rule, "draws from torch's own")
    one, same, other = answers
    demand_same(one, same, "the same seeds must give the same bits in training")
    changed = not torch.equal(one[0], other[0])
    rule = f"must {'' if case.closed else 'not '}follow the generator's numbers in training"
    demand(changed == case.closed, rule, "another answer" if changed else "the same answer")


@RULES.at()
def dropout_acts_in_training_only(case: OperationCase) -> None:
    """Dropout of one half, where it ends the operation, sets about half of its outputs to 0 in
    training and doubles the others; in evaluation, or where none ends it, nothing changes.
    """
    plain = case.make()
    dropping = case.make(dropout=_DROPOUT)
    x = case.rows(40)
    expected, out = plain.train()(x), dropping.train()(x)
    dropped = (out == 0) & (expected != 0)
    share = float(dropped.sum() / (expected != 0).sum().clamp_min(1))
    if case.closed:
        demand(0.3 < share < 0.7, "dropout 0.5 must drop about half of the outputs", f"{share:.2f}")
    else:
        demand_same([out], [expected], "no dropout must act on it")
    scale = 2 if case.closed else 1
    rule = f"what dropout keeps must be {scale} times what there is without it"
    demand_close([out[~dropped]], [scale * expected[~dropped]], rule)
    demand_close([dropping.eval()(x)], [plain.eval()(x)], "evaluation must know no dropout")


@RULES.at()
def batch_norm_off_leaves_none(case: OperationCase) -> None:
    """Without ``batch_norm`` no BatchNorm is left in it: every row's answer is its own, in training
    too.
    """
    module = case.make(batch_norm=False).train()
    norms = [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]
    demand(not norms, "no BatchNorm must be left without batch_norm", norms)
    x, rule = case.rows(), "a row must get the same answer beside other rows"
    demand_close([module(x[3:5])], [module(x)[3:5]], f"without batch_norm {rule} in training")


@RULES.at()
def a_state_goes_into_a_fresh_module(case: OperationCase) -> None:
    """All that training changed is in ``state_dict()``: a fresh module that loads it answers by the
    same bits.
    """
    module = _trained(case).eval()
    other = case.make(seed=9).eval()
    x = case.rows()
    other.load_state_dict(module.state_dict())
    demand_same([other(x)], [module(x)], "a fresh module with its state must answer alike")


@RULES.at()
def a_copy_is_whole(case: OperationCase) -> None:
    """A deep copy in the middle of a training answers by the same bits."""
    module, x = _trained(case), case.rows()
    copied = copy.deepcopy(module)
    demand_same([copied.eval()(x)], [module.eval()(x)], "a copy must answer alike")


@RULES.at()
def everything_moves_to_a_device(case: OperationCase) -> None:
    """``.to(device)`` takes every tensor along that its answer is made from, in training and in
    evaluation.
    """
    module, x = case.make().to("meta"), case.rows().to("meta")
    tensors = [*module.named_parameters(), *module.named_buffers()]
    left = [name for name, tensor in tensors if tensor.device.type != "meta"]
    demand(not left, "every parameter and buffer must move to a device", f"{left} left behind")
    on_meta(lambda: [module.train()(x)])
    on_meta(lambda: [module.eval()(x)])


@RULES.at()
def an_alpha_step_leaves_its_state_alone(case: OperationCase) -> None:
    """Within ``frozen_statistics`` a pass in training changes nothing in ``state_dict()``: the step
    that moves alpha sees other rows than the weights do.
    """
    module = _trained(case)
    before = copy.deepcopy(module.state_dict())
    with frozen_statistics(module):
        module(case.rows(seed=4))
    for name, tensor in module.state_dict().items():
        rule = f"a pass must leave {name} alone where `update_statistics` is off"
        demand_same([tensor], [before[name]], rule)
