"""Taking in what a checkpoint holds.

A stranger may have written it, sums and all. So what has not the form in which this package writes
is refused as it is taken in, before a step is made: names, types, shapes, numbers that count or
index something, and numbers that are not finite. What is then left to a stranger is the values of
weights and moments, as with any model of his.

The messages name the place inside the state; the checkpoint that it is of is added by
``runs.checkpoint.applying``.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from automtl.errors import ArtifactError
from automtl.strict import Model, Strict, build

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Tensors = dict[str, Tensor]

_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_KEPT = {  # of a parameter
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.Adagrad: {"step", "sum"},
}
_COUNTS = ("step", "exp_avg_sq", "sum")  # of these, what is never negative


class State(Strict):
    """Base of the forms of states; the states themselves are plain mappings."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


class Running(State):
    """Of ``RunningLosses``: (T,) float64 each, or None before the first step."""

    losses: Tensor | None
    weights: Tensor | None


class Costs(State):
    """Of balancing; empty where there was none."""

    seconds: Amount = 0.0
    backward_passes: Amount = 0.0
    extra_bytes: Count = 0


class Spent(State):
    """What a phase has cost so far."""

    seconds: Amount
    samples: Count
    balancing: Costs = Costs()


def need(holds: bool, where: str, rule: str, got: object) -> None:
    """Refuse what does not hold.

    Raises:
        ArtifactError: it does not.
    """
    if not holds:
        raise ArtifactError(where, rule, got)


def check(form: type[Model], state: Any, where: str) -> Model:
    """A state in its form.

    Raises:
        ConfigError: it has another one; every fault is listed.
    """
    return build(form, state, where)


def take(owned: Mapping[str, Tensor], state: Any, where: str, *, finite: bool = True) -> None:
    """Copy saved tensors into one's own.

    Args:
        owned: name -> tensor.
        state: the saved ones.
        where: what they are called in errors.
        finite: whether NaN and infinity are refused.

    Raises:
        ArtifactError: they are not of the same names, shapes and types, or not finite.
    """
    need_tensors(owned, state, where, finite=finite)
    with torch.no_grad():
        for name, tensor in owned.items():
            tensor.copy_(state[name])


def need_tensors(
    owned: Mapping[str, Tensor], state: Any, where: str, *, finite: bool = True
) -> None:
    """Refuse saved tensors that could not be one's own; arguments as of `take`."""
    need(isinstance(state, Mapping), where, "must be a mapping", type(state).__name__)
    absent = sorted(owned.keys() - state.keys())
    unknown = [name for name in state if name not in owned]
    need(
        not absent and not unknown,
        where,
        f"must hold the {len(owned)} tensors of that name",
        _names(absent, unknown),
    )
    for name, tensor in owned.items():
        need(
            _form(state[name]) == _form(tensor),
            f"{where}.{name}",
            f"must be {_form(tensor)}",
            _form(state[name]),
        )
        legal = not finite or not tensor.is_floating_point() or _finite(state[name])
        need(legal, f"{where}.{name}", "must be finite", "NaN or infinity")


def _finite(tensor: Tensor) -> bool:
    """Whether all numbers are; a piece at a time, since a look at a whole table takes its size."""
    return all(bool(piece.isfinite().all()) for piece in torch.split(tensor.reshape(-1), 2**20))


def _names(absent: Iterable[str], unknown: Iterable[object]) -> str:
    names = [f"no {name}" for name in absent] + [str(name)[:80] for name in unknown]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _form(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def take_net(net: nn.Module, state: Any, where: str = "net") -> None:
    """Load a network's state; modules that change their form in training take that of the state.

    Raises:
        ArtifactError: as of `take`.
        RuntimeError: it is of another network.
    """
    need(isinstance(state, Mapping), where, "must be a mapping", type(state).__name__)
    net.load_state_dict(state)
    need_tensors(net.state_dict(), state, where)


def take_optimizer(optimizer: torch.optim.Optimizer, state: Any, where: str) -> None:
    """Load an optimiser's state: what it keeps of each parameter. Its settings are the run's own,
    and must be the state's.

    A rate that follows a schedule (``initial_lr``) is for whoever runs the schedule to set.

    Raises:
        ArtifactError: it is of other parameters or settings, or not as torch's optimiser keeps it.
    """
    need(
        isinstance(state, Mapping) and set(state) == {"state", "param_groups"},
        where,
        "must be an optimiser's",
        _form(state),
    )
    own = optimizer.state_dict()["param_groups"]
    settings, theirs = (
        [_setting(group) for group in groups] for groups in (own, state["param_groups"])
    )
    need(
        settings == theirs,
        f"{where}.param_groups",
        f"must be those of the run's settings, {str(settings)[:200]}",
        str(theirs)[:200],
    )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    names = _KEPT[type(optimizer)]
    for index, moments in state["state"].items():
        here = f"{where}.state.{index}"
        known = (
            isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(parameters)
        )
        need(known, here, f"must be one of {len(parameters)} parameters", repr(index)[:80])
        like = parameters[index].detach()
        need_tensors(
            {name: torch.zeros(()) if name == "step" else like for name in names}, moments, here
        )
        for name in names.intersection(_COUNTS):
            least = float(moments[name].min()) if moments[name].numel() else 0.0
            need(not least < 0, f"{here}.{name}", "must be at least 0", f"{least:g}")
    optimizer.load_state_dict({"state": state["state"], "param_groups": own})


def _setting(group: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in group.items()
    }
    return plain if "initial_lr" not in plain else {**plain, "lr": type(plain["lr"]).__name__}
