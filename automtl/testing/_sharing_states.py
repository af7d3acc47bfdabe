"""Rules of a sharing kind's contract on states, copies, devices and records."""

import copy
import json

import torch

from automtl.layers.normalization import frozen_statistics
from automtl.sharing.base import SharingModule
from automtl.testing.rules import Rules, demand, demand_close, demand_same, on_meta
from automtl.testing.sharing_modules import SharingCase, in_order, inputs, run, step

RULES: Rules[SharingCase] = Rules()

_USUAL = (2, 5)  # T, N


def _train(
    module: SharingModule, optimizer: torch.optim.Optimizer, steps: range, planned: int
) -> None:
    for done in steps:
        module.advance(done / planned)
        step(module, inputs())
        optimizer.step()
        optimizer.zero_grad()


@RULES.at(_USUAL)
def a_state_goes_into_a_fresh_module(case: SharingCase, tasks: int, experts: int) -> None:
    """All that training changed is in ``state_dict()``: a fresh module that loads it answers by the
    same bits, and tells the same gate weights.
    """
    module, h = case.make(tasks, experts).train(), inputs()
    _train(module, torch.optim.SGD(module.parameters(), lr=0.05), range(5), planned=5)
    expected, other = run(module.eval(), h), case.make(tasks, experts, seed=9)
    other.load_state_dict(module.state_dict())
    demand_same(run(other.eval(), h), expected, "a fresh module with its state must answer alike")
    other.load_state_dict(module.state_dict())
    _demand_gates(other, module, "a fresh module with its state must tell the same gate weights")


@RULES.at(_USUAL)
def a_packed_state_unpacks(case: SharingCase, tasks: int, experts: int) -> None:
    """What ``pack()`` stores is enough to evaluate: a fresh module that loads what ``unpack()``
    makes of it answers alike.
    """
    module, h = case.make(tasks, experts).train(), inputs()
    _train(module, torch.optim.SGD(module.parameters(), lr=0.05), range(5), planned=5)
    expected, other = run(module.eval(), h), case.make(tasks, experts, seed=9)
    other.load_state_dict(other.unpack(module.pack()))
    demand_close(run(other.eval(), h), expected, "a fresh module of its pack must answer alike")


@RULES.at(_USUAL)
def training_goes_on_from_a_state_to_the_same_bits(
    case: SharingCase, tasks: int, experts: int
) -> None:
    """A fresh module that takes over state, optimiser and generator trains on to the same bits."""
    modules = [case.make(tasks, experts, seed=seed).train() for seed in (0, 5)]
    optimizers = [torch.optim.Adam(module.parameters(), lr=0.05) for module in modules]
    # past the step at which DSelect-k looks whether it has settled
    _train(modules[0], optimizers[0], range(52), planned=60)
    modules[1].load_state_dict(modules[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    _pass_on(modules[0].generator, modules[1].generator)
    for module, optimizer in zip(modules, optimizers, strict=True):
        _train(module, optimizer, range(52, 57), planned=60)
    for training in (True, False):
        first, second = (run(module.train(training), inputs()) for module in modules)
        demand_same(second, first, "training must go on from a state to the same bits")
    first, second = (in_order(module.state_dict()) for module in modules)
    demand_same(second, first, "training must go on from a state to the same state")


@RULES.at(_USUAL)
def a_stages_state_goes_into_a_fresh_module(case: SharingCase, tasks: int, experts: int) -> None:
    """Stages have names of their own. All that ``begin(stage)`` changes is in ``state_dict()``: a
    fresh module that loads it, and has begun nothing, answers by the same bits; what is
    ``decided()`` stands there, too.
    """
    module, h = case.make(tasks, experts), inputs()
    names = [stage.name for stage in module.stages()]
    demand(len({*names}) == len(names), "stages must have names of their own", names)
    for name in names:
        module.train().begin(name)
        _train(module, torch.optim.SGD(module.parameters(), lr=0.05), range(3), planned=5)
        other = case.make(tasks, experts, seed=9).train()
        other.load_state_dict(module.state_dict())
        _pass_on(module.generator, other.generator)
        rule = f"a fresh module with the state of stage {name!r} must answer alike"
        for training in (True, False):
            first, second = (run(m.train(training), h) for m in (module, other))
            demand_same(second, first, f"{rule} in {'training' if training else 'evaluation'}")
        unknown = sorted(module.decided() - module.state_dict().keys())
        demand(not unknown, "`decided()` must name entries of `state_dict()`", unknown)


def _pass_on(source: torch.Generator | None, target: torch.Generator | None) -> None:
    rule = "must keep the generator that is passed in `generator`"
    demand(source is not None and target is not None, rule, "None")
    assert source is not None and target is not None
    target.set_state(source.get_state())


@RULES.at(_USUAL)
def a_copy_after_a_step_is_whole(case: SharingCase, tasks: int, experts: int) -> None:
    """A deep copy in the middle of a training answers by the same bits."""
    module, h = case.make(tasks, experts).train(), inputs()
    run(module, h)
    copied = copy.deepcopy(module)
    demand_same(run(copied.eval(), h), run(module.eval(), h), "a copy must answer alike")


@RULES.at(_USUAL)
def everything_moves_to_a_device(case: SharingCase, tasks: int, experts: int) -> None:
    """``.to(device)`` takes every tensor along that its answer is made from, in training and in
    evaluation.
    """
    module, h = case.make(tasks, experts).to("meta"), inputs().to("meta")
    tensors = [*module.named_parameters(), *module.named_buffers()]
    left = [name for name, tensor in tensors if tensor.device.type != "meta"]
    demand(not left, "every parameter and buffer must move to a device", f"{left} left behind")
    on_meta(lambda: run(module.train(), h))
    on_meta(lambda: run(module.eval(), h))


def _demand_gates(one: SharingModule, other: SharingModule, rule: str) -> None:
    first, second = one.gate_weights(), other.gate_weights()
    demand(first.keys() == second.keys(), rule, f"{list(first)} beside {list(second)}")
    demand_same(in_order(first), in_order(second), rule)


@RULES.at(_USUAL)
def records_are_plain_json(case: SharingCase, tasks: int, experts: int) -> None:
    """``record()`` is made of plain JSON values: it reads back from a file as it was."""
    module = case.make(tasks, experts).eval()
    run(module, inputs())
    record = module.record()
    try:
        read = json.loads(json.dumps(record, allow_nan=False))
    except (TypeError, ValueError) as fault:
        read = fault
    demand(read == record, "`record()` must be plain JSON values", f"{read!r:.200}")


@RULES.at(_USUAL)
def parameter_groups_hold_own_parameters_once(case: SharingCase, tasks: int, experts: int) -> None:
    """``parameter_groups()`` names each group once, and no parameter twice or of another module."""
    module = case.make(tasks, experts)
    groups = module.parameter_groups()
    names, own = [group.name for group in groups], {id(p) for p in module.parameters()}
    listed = [id(p) for group in groups for p in group.parameters]
    demand(len({*names}) == len(names), "groups must have names of their own", names)
    twice, foreign = len(listed) - len({*listed}), len({*listed} - own)
    demand(not twice, "a parameter must stand in one group", f"{twice} that stand in several")
    demand(not foreign, "groups must hold parameters of the module", f"{foreign} of none")


@RULES.at(_USUAL)
def an_alpha_step_leaves_its_state_alone(case: SharingCase, tasks: int, experts: int) -> None:
    """Within ``frozen_statistics`` a pass in training changes nothing in ``state_dict()``: the step
    that moves alpha sees other rows than the weights do.
    """
    module = case.make(tasks, experts).train()
    run(module, inputs())
    before = copy.deepcopy(module.state_dict())
    with frozen_statistics(module):
        run(module, inputs(seed=4))
    for name, tensor in module.state_dict().items():
        rule = f"a pass must leave {name} alone where `update_statistics` is off"
        demand_same([tensor], [before[name]], rule)
