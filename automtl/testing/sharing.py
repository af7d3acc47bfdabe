"""What every sharing kind keeps, whatever it computes.

A kind says by three attributes where it promises less, or more: ``noisy``, ``partial`` and
``normalised`` of ``automtl.SharingModule``.

Legend: B rows, T tasks, N experts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from automtl.models.skeleton import seeded
from automtl.sharing.base import SharingModule
from automtl.spaces.kinds import Slot
from automtl.testing import _sharing_states
from automtl.testing.rules import Rules, demand, demand_close, demand_finite, demand_same
from automtl.testing.sharing_modules import FIELDS, SharingCase, in_order, inputs, run, step

RULES: Rules[SharingCase] = Rules()

_USUAL = (2, 5)  # T, N
_SIZES = ((1, 1), (1, 5), (2, 1), (2, 5), (7, 1), (7, 5), (2, 4))


def _experts(module: SharingModule) -> list[tuple[Slot, torch.nn.Module]]:
    """The experts with their slots."""
    experts = getattr(module, "experts", None)
    rule = "must keep its experts in `experts`, one for each slot and in their order"
    count = len(experts) if isinstance(experts, Sequence | torch.nn.ModuleList) else None
    demand(count == len(module.slots), rule, f"{count} for {len(module.slots)} slots")
    return list(zip(module.slots, experts or (), strict=True))


@RULES.at(*_SIZES)
def one_finite_vector_for_each_task(case: SharingCase, tasks: int, experts: int) -> None:
    """It gives each task a tensor (B, width_out[t]) of finite numbers, in training too."""
    module, h = case.make(tasks, experts).train(), inputs()
    module.advance(0.25)
    vectors = run(module, h)
    wanted = [(len(h), width) for width in module.width_out]
    got = [tuple(vector.shape) for vector in vectors]
    demand(len(wanted) == tasks, f"`width_out` must have {tasks} widths", module.width_out)
    demand(got == wanted, f"must give the tasks vectors of shapes {wanted}", got)
    demand_finite(vectors, "must give finite numbers in training")


@RULES.at(*_SIZES)
def a_finite_gradient_to_everything_that_is_built(
    case: SharingCase, tasks: int, experts: int
) -> None:
    """A step over all tasks gives every parameter a gradient; it is finite, and not all zero unless
    the kind is ``partial``. Its own term of the loss is one finite number.
    """
    module = case.make(tasks, experts).train()
    module.advance(0.25)
    own = step(module, inputs())
    if own is not None:
        demand(own.dim() == 0, "its loss must be one number", f"shape {tuple(own.shape)}")
        demand_finite([own], "its loss must be finite")
    for name, parameter in module.named_parameters():
        gradient = parameter.grad
        demand(gradient is not None, "every parameter must get a gradient", f"none for {name}")
        assert gradient is not None
        demand_finite([gradient], f"the gradient of {name} must be finite")
        reaches = module.partial or bool(gradient.any())
        rule = "every parameter must change something, unless the kind is `partial`"
        demand(reaches, rule, f"a gradient of zeros for {name}")


@RULES.at(_USUAL)
def evaluation_is_finite_and_repeats(case: SharingCase, tasks: int, experts: int) -> None:
    """In evaluation the same rows give the same finite bits each time."""
    module, h = case.make(tasks, experts).eval(), inputs()
    first, second = run(module, h), run(module, h)
    demand_finite(first, "must give finite numbers in evaluation")
    demand_same(first, second, "must answer the same rows by the same bits")


@RULES.at(_USUAL)
def its_input_stays_as_it_was(case: SharingCase, tasks: int, experts: int) -> None:
    """No pass changes the numbers that it is given, which are its caller's."""
    h = inputs()
    for training in (True, False):
        run(case.make(tasks, experts).train(training), h)
        demand_same([h], [inputs()], "must leave the numbers that it is given as they were")


@RULES.at(_USUAL)
def rows_do_not_see_each_other(case: SharingCase, tasks: int, experts: int) -> None:
    """In evaluation a row's answer does not change with the rows beside it."""
    module, h = case.make(tasks, experts).eval(), inputs()
    whole = [vector[3:5] for vector in run(module, h)]
    demand_close(run(module, h[3:5]), whole, "a row must get the same answer beside other rows")


@RULES.at(_USUAL)
def same_seed_same_bits(case: SharingCase, tasks: int, experts: int) -> None:
    """Two modules made and run with the same seeds answer by the same bits, in training too."""
    one, other = (run(case.make(tasks, experts, seed=2).train(), inputs()) for _ in range(2))
    demand_same(one, other, "the same seeds must give the same bits")


@RULES.at(_USUAL)
def noise_is_of_the_generator_that_is_passed(case: SharingCase, tasks: int, experts: int) -> None:
    """It leaves torch's own generator alone; another generator's numbers give another answer in
    training where the kind is ``noisy``, and nowhere else.
    """
    h = inputs()
    with seeded(1):
        one = run(case.make(tasks, experts, seed=2).train(), h)
        drawn = torch.rand(1)
    with seeded(1):
        rule = "must draw from the generator that is passed, and leave torch's own alone"
        demand(torch.equal(drawn, torch.rand(1)), rule, "draws from torch's own")
    module = case.make(tasks, experts, seed=2, noise=8).train()
    _demand_noise(module, one, run(module, h))


@RULES.at(_USUAL)
def noise_without_a_generator_is_torchs_own(case: SharingCase, tasks: int, experts: int) -> None:
    """Without a generator its noise follows torch's seed."""
    module, h = case.make(tasks, experts, noise=None).train(), inputs()
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed):
            draws.append(run(module, h))
    demand_same(draws[0], draws[1], "the same seed of torch must give the same bits")
    _demand_noise(module, draws[0], draws[2])


def _demand_noise(module: SharingModule, one: Sequence[Tensor], other: Sequence[Tensor]) -> None:
    """Two answers with other numbers drawn differ where the kind says so."""
    changed = not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    rule = f"says `noisy = {module.noisy}`, so training must {'' if module.noisy else 'not '}"
    got = "another answer" if changed else "the same answer"
    demand(changed == module.noisy, f"{rule}follow the numbers drawn", got)


@RULES.at((1, 5), (3, 5))
def a_task_reads_the_experts_it_says(case: SharingCase, tasks: int, experts: int) -> None:
    """The gradient of a task's vector reaches the experts of ``reads(task)`` and no other; all of
    them unless the kind is ``partial``. Nor does the vector change with another expert's weights.
    Every slot is read by some task.
    """
    module, h = case.make(tasks, experts).train(), inputs()
    placed = _experts(module)
    owners = {id(p): slot for slot, expert in placed for p in expert.parameters()}
    for t in range(tasks):
        module.zero_grad()
        run(module, h)[t].square().sum().backward()  # type: ignore[no-untyped-call]
        reached = [p for p in module.parameters() if p.grad is not None and p.grad.any()]
        read, said = {owners[id(p)] for p in reached if id(p) in owners}, module.reads(t)
        unsaid, unread = sorted(map(str, read - said)), sorted(map(str, said - read))
        demand(not unsaid, f"task {t} may read only the slots of `reads({t})`", unsaid)
        rule = f"task {t} must read every slot of `reads({t})`, unless the kind is `partial`"
        demand(module.partial or not unread, rule, f"no gradient of {unread}")
        _demand_blind(case, tasks, experts, t)
    unread = sorted(map(str, {*module.slots}.difference(*map(module.reads, range(tasks)))))
    demand(not unread, "some task must read each slot", f"none for {unread}")


def _demand_blind(case: SharingCase, tasks: int, experts: int, task: int) -> None:
    """A task's vector does not follow experts beside ``reads(task)``, whether or not by a way that
    a gradient takes.
    """
    rule = f"task {task} must answer alike whatever the experts beside `reads({task})` hold"
    for training in (True, False):
        modules = [case.make(tasks, experts).train(training) for _ in range(2)]
        placed, said = _experts(modules[1]), modules[1].reads(task)
        own = {id(p) for slot, expert in placed if slot in said for p in expert.parameters()}
        others = [p for _, expert in placed for p in expert.parameters() if id(p) not in own]
        with torch.no_grad():
            for parameter in others:
                parameter.add_(1)
        one, other = ([run(module, inputs())[task]] for module in modules)
        demand_same(other, one, rule)


@RULES.at((4, 5))
def each_expert_is_computed_once(case: SharingCase, tasks: int, experts: int) -> None:
    """One pass calls every expert once, however many tasks read it."""
    module = case.make(tasks, experts)
    calls = dict.fromkeys(map(str, module.slots), 0)
    for slot, expert in _experts(module):

        def count(*_: Any, name: str = str(slot)) -> None:
            calls[name] += 1

        expert.register_forward_hook(count)
    run(module, inputs())
    wrong = {name: times for name, times in calls.items() if times != 1}
    demand(not wrong, "every expert must be computed once in a pass", f"these calls: {wrong}")


@RULES.at((3, 5))
def the_interaction_is_computed_once(case: SharingCase, tasks: int, experts: int) -> None:
    """``encode`` is called once, on whole copies of the batch's fields."""
    module = case.make(tasks, experts)
    h = inputs()
    shapes = []

    def encode(fields: Tensor) -> Tensor:
        shapes.append(tuple(fields.shape))
        return fields.flatten(1)

    module(h.view(-1, *FIELDS), encode)
    rows = [shape[0] for shape in shapes if shape[1:] == FIELDS and shape[0]]
    once = len(shapes) == 1 and len(rows) == 1 and rows[0] % len(h) == 0
    rule = f"must call `encode` once, on whole copies of {len(h)} rows of {FIELDS} fields"
    demand(once, rule, f"calls on {shapes}")


@RULES.at(_USUAL)
def gate_weights_are_means_over_the_rows_evaluated(
    case: SharingCase, tasks: int, experts: int
) -> None:
    """In evaluation ``gate_weights()`` are means over all rows since ``eval()``, however they were
    parted into batches.
    """
    module, h = case.make(tasks, experts).train(), inputs(rows=24)
    run(module, h)
    module.eval()
    for batch in (h[:5], h[5:20], h[20:]):
        run(module, batch)
    parted = {unit: weights.clone() for unit, weights in module.gate_weights().items()}
    run(module.train(), h)
    run(module.eval(), h)
    whole = module.gate_weights()
    demand(parted.keys() == whole.keys(), "gate weights must keep their names", list(whole))
    rule = "gate weights must be means over all rows since eval()"
    demand_close(in_order(parted), in_order(whole), rule)


@RULES.at((2, 4))
def weights_sum_to_one_where_it_says_so(case: SharingCase, tasks: int, experts: int) -> None:
    """The weights of each unit sum to 1 as a module of a ``normalised`` kind begins."""
    module = case.make(tasks, experts).eval()
    run(module, inputs())
    for unit, weights in module.gate_weights().items() if module.normalised else ():
        total = float(weights.sum())
        rule = f"says `normalised = True`, so the weights of {unit} must sum to 1"
        demand(abs(total - 1) <= 2e-7, rule, f"{total:.6g}")


@RULES.at((3, 5))
def slot_weights_share_each_level_among_its_slots(
    case: SharingCase, tasks: int, experts: int
) -> None:
    """Where ``slot_weights()`` says anything, each task's weights are at least 0, sum to 1 on every
    level, and are 0 for what the task does not read.
    """
    module = case.make(tasks, experts).eval()
    run(module, inputs())
    weights, slots = module.slot_weights(), module.slots
    if weights is None:
        return
    shape = (tasks, len(slots))
    demand(weights.shape == shape, f"slot weights must have shape {shape}", tuple(weights.shape))
    demand(bool((weights >= 0).all()), "slot weights must be at least 0", float(weights.min()))
    for level in sorted({slot.level for slot in slots}):
        sums = weights[:, [i for i, slot in enumerate(slots) if slot.level == level]].sum(1)
        rule = f"each task's slot weights must sum to 1 on level {level}"
        demand(bool(((sums - 1).abs() <= 1e-9).all()), rule, sums.tolist())
    for t in range(tasks):
        beside = {str(s) for s, w in zip(slots, weights[t], strict=True) if w > 0} - {
            str(slot) for slot in module.reads(t)
        }
        demand(not beside, f"task {t} may weigh only what it reads", sorted(beside))


RULES.update(_sharing_states.RULES)
