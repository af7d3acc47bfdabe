"""Checks of a checkpoint's state, as it is loaded.

A stranger may have written a checkpoint, its checksums included. So a state that this package could
not have written is refused before a step is made: its names, types and shapes are compared with
those of the object that loads it, what counts or indexes something must be in range, and numbers
must be finite. What is left to a stranger are the values of weights and moments, as with any model.

Messages name the place inside the state; ``runs.checkpoint.applying`` adds the checkpoint's path.
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
_MOMENTS = {  # what torch stores of a parameter
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.Adagrad: {"step", "sum"},
}
_NEVER_NEGATIVE = ("step", "exp_avg_sq", "sum")


class State(Strict):
    """Base of the forms of states; the states themselves are plain mappings."""

    model_config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=True)


class Running(State):
    """The state of ``RunningLosses``: (T,) float64 each, or None before the first step."""

    losses: Tensor | None
    weights: Tensor | None


class Costs(State):
    """What balancing has cost; zeros where there was none."""

    seconds: Amount = 0.0
    backward_passes: Amount = 0.0
    extra_bytes: Count = 0


class Spent(State):
    """What a phase has cost so far."""

    seconds: Amount
    samples: Count
    balancing: Costs = Costs()


def require(holds: bool, where: str, rule: str, got: object) -> None:
    """Refuse a state unless a condition holds.

    Raises:
        ArtifactError: it does not hold.
    """
    if not holds:
        raise ArtifactError(where, rule, got)


def parse(form: type[Model], state: Any, where: str) -> Model:
    """A state as an object of its form.

    Raises:
        ConfigError: it has another form; every fault is listed.
    """
    return build(form, state, where)


def load_tensors(
    owned: Mapping[str, Tensor], state: Any, where: str, *, finite: bool = True
) -> None:
    """Copy saved tensors into an object's own.

    Args:
        owned: the object's tensors by name.
        state: the saved ones.
        where: the name of the state in errors.
        finite: whether NaN and infinity are refused.

    Raises:
        ArtifactError: they are not of the same names, shapes and types, or not finite.
    """
    require_tensors(owned, state, where, finite=finite)
    with torch.no_grad():
        for name, tensor in owned.items():
            tensor.copy_(state[name])


def require_tensors(
    owned: Mapping[str, Tensor], state: Any, where: str, *, finite: bool = True
) -> None:
    """Refuse saved tensors that `load_tensors` would not load; its arguments."""
    require(isinstance(state, Mapping), where, "must be a mapping", type(state).__name__)
    absent = sorted(owned.keys() - state.keys())
    unknown = [name for name in state if name not in owned]
    require(
        not absent and not unknown,
        where,
        f"must hold the {len(owned)} tensors of that name",
        _names(absent, unknown),
    )
    for name, tensor in owned.items():
        require(
            _form(state[name]) == _form(tensor),
            f"{where}.{name}",
            f"must be {_form(tensor)}",
            _form(state[name]),
        )
        legal = not finite or not tensor.is_floating_point() or _finite(state[name])
        require(legal, f"{where}.{name}", "must be finite", "NaN or infinity")


def _require_not_negative(tensor: Tensor, where: str) -> None:
    least = float(tensor.min()) if tensor.numel() else 0.0
    require(not least < 0, where, "must be at least 0", f"{least:g}")


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


def load_net_state(net: nn.Module, state: Any, where: str = "net") -> None:
    """Load a network's state; modules that change shape in training take that of the state.

    Raises:
        ArtifactError: as of `load_tensors`.
        RuntimeError: it is of another network.
    """
    require(isinstance(state, Mapping), where, "must be a mapping", type(state).__name__)
    net.load_state_dict(state)
    require_tensors(net.state_dict(), state, where)
    for name in state:
        if name.endswith("running_var"):
            _require_not_negative(state[name], f"{where}.{name}")


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Any, where: str) -> None:
    """Load what an optimiser stores of each parameter; its settings must be those of the run.

    A rate that follows a schedule (``initial_lr``) is for whoever runs the schedule to set.

    Raises:
        ArtifactError: it is of other parameters or settings, or not as torch's optimiser keeps it.
    """
    require(
        isinstance(state, Mapping) and set(state) == {"state", "param_groups"},
        where,
        "must be an optimiser's",
        _form(state),
    )
    own = optimizer.state_dict()["param_groups"]
    settings, theirs = (
        [_setting(group) for group in groups] for groups in (own, state["param_groups"])
    )
    require(
        settings == theirs,
        f"{where}.param_groups",
        f"must be those of the run's settings, {str(settings)[:200]}",
        str(theirs)[:200],
    )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    names = _MOMENTS[type(optimizer)]
    for index, moments in state["state"].items():
        here = f"{where}.state.{index}"
        known = (
            isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(parameters)
        )
        require(known, here, f"must be one of {len(parameters)} parameters", repr(index)[:80])
        like = parameters[index].detach()
        require_tensors(
            {name: torch.zeros(()) if name == "step" else like for name in names}, moments, here
        )
        for name in names.intersection(_NEVER_NEGATIVE):
            _require_not_negative(moments[name], f"{here}.{name}")
    optimizer.load_state_dict({"state": state["state"], "param_groups": own})


def _setting(group: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in group.items()
    }
    return plain if "initial_lr" not in plain else {**plain, "lr": type(plain["lr"]).__name__}
