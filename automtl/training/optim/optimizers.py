"""The optimiser of a discrete network and the schedule of its rates: the same wherever such a
network is trained by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import torch

from automtl.errors import ConfigError
from automtl.models.skeleton import MultiTaskNet
from automtl.sharing.base import Stage
from automtl.training.optim.deferred_sgd import DeferredSGD, TableOptimizer
from automtl.training.optim.lazy_adam import LazyAdam
from automtl.training.optim.net_optimizer import NetOptimizer
from automtl.training.optim.schedules import rate_factor


@dataclass(frozen=True)
class OptimizerSettings:
    """How a network's weights are updated.

    Args:
        optimizer: "adam", "adamw", "sgd" or "adagrad", as torch has them.
        lr: rate of every group of parameters that has none of its own.
        weight_decay: L2 decay of the groups that have none of their own; decoupled for adamw.
        betas: of adam, adamw and lazy_adam; None for torch's (.9, .999).
        momentum: of sgd; None for .9.
        embedding_optimizer: "sgd" or "lazy_adam" for tables with sparse gradients, whose steps
            cost the touched rows; else they are updated as all weights.
        group_lr: rate of a group by its name, over the one that the network gives it.
        schedule: "constant" or "cosine", see `rate_factor`.
        warmup_epochs: in which the rates rise.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    group_lr: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "constant"
    warmup_epochs: int = 0
    embedding_optimizer: str | None = None

    @property
    def sparse(self) -> bool:
        """Whether tables are to give sparse gradients."""
        return self.embedding_optimizer in ("sgd", "lazy_adam")

    @classmethod
    def of(cls, section: Any) -> Self:
        """The settings of a section of the configuration, by its attributes of the same names."""
        return cls(**{own.name: getattr(section, own.name) for own in fields(cls)})

    @property
    def moves(self) -> bool:
        """Whether rates change in training."""
        return self.schedule != "constant" or self.warmup_epochs > 0


def check_fit(
    net: MultiTaskNet, settings: OptimizerSettings, *, length: Callable[[Stage], int]
) -> None:
    """Refuse rates of groups that a network has in none of its stages, and a warm-up as long as one
    of them.

    Args:
        net: the network.
        settings: how it is to be trained.
        length: the epochs that a stage has.

    Raises:
        ConfigError: as above; the message lists the groups, or names the stage.
    """
    known = [*(group.name for group in net.sharing.parameter_groups()), "tables", "weights"]
    for name in settings.group_lr:
        if name not in known:
            rule = f"must be a group of parameters of {net.sharing.kind}"
            raise ConfigError(
                f"retrain.group_lr.{name}", rule, repr(name), f"it has {', '.join(known)}"
            )
    for stage in net.sharing.stages():
        epochs = length(stage)
        if 0 < epochs <= settings.warmup_epochs:
            rule = f"must be below the {epochs} epochs of {net.sharing.kind}'s stage '{stage.name}'"
            raise ConfigError("retrain.warmup_epochs", rule, settings.warmup_epochs, "lower it")


def make_optimizer(net: MultiTaskNet, settings: OptimizerSettings) -> NetOptimizer:
    """The optimiser over a network's weights, in the groups that the network names; empty groups
    are left out.

    A network whose tables have an optimiser of their own was made with sparse gradients.

    Where rates move, each group keeps its own as torch's schedulers do, under ``initial_lr``:
    ``set_rates`` starts from there, so that a schedule has no state of its own, and a training that
    goes on from a checkpoint takes the same rates.
    """
    groups = net.parameter_groups()
    for group in groups:
        if group["name"] in settings.group_lr:
            group["lr"] = settings.group_lr[group["name"]]
    apart = next((g for g in groups if settings.sparse and g["name"] == "tables"), None)
    weights = _make_weights([group for group in groups if group is not apart], settings)
    if apart is None:
        optimizer = NetOptimizer(weights)
    else:
        apart = {"lr": settings.lr, **apart}
        momentum = 0.9 if settings.momentum is None else settings.momentum
        tables = [
            make_table_optimizer(
                settings.embedding_optimizer,
                table,
                momentum=momentum,
                weight_decay=apart["weight_decay"],
                betas=settings.betas or (0.9, 0.999),
            )
            for table in net.tables()
        ]
        optimizer = NetOptimizer(weights, tables=tables, group=apart, touched=net.touched_rows)
    if settings.moves:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizer


def make_table_optimizer(
    name: str | None,
    table: torch.nn.Parameter,
    *,
    momentum: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> TableOptimizer:
    """The optimiser of one table with sparse gradients.

    Args:
        name: "sgd" or "lazy_adam".
        table: (V, d), changed in place.
        momentum: of sgd.
        weight_decay: L2 decay.
        betas: of lazy_adam.
    """
    if name == "lazy_adam":
        return LazyAdam(table, betas=betas, weight_decay=weight_decay)
    return DeferredSGD(table, momentum=momentum, weight_decay=weight_decay)


def _make_weights(
    groups: list[dict[str, Any]], settings: OptimizerSettings
) -> torch.optim.Optimizer:
    given: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    match settings.optimizer:
        case "adam" | "adamw":
            kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
            return kind(groups, **given, betas=settings.betas or (0.9, 0.999), fused=True)
        case "sgd":
            momentum = 0.9 if settings.momentum is None else settings.momentum
            return torch.optim.SGD(groups, **given, momentum=momentum)
        case "adagrad":
            return torch.optim.Adagrad(groups, **given)
        case other:
            raise ConfigError("retrain.optimizer", "must be adam, adamw, sgd or adagrad", other)


def set_rates(
    optimizer: NetOptimizer,
    settings: OptimizerSettings,
    *,
    epoch: int,
    share: float,
    epochs: int,
) -> None:
    """Set every group's rate for the next step; nothing where rates stay.

    Args:
        optimizer: made by `make_optimizer` with these settings.
        settings: whose schedule.
        epoch: of the stage, from 0.
        share: of the epoch that is done after the step, in (0, 1].
        epochs: that the stage plans.
    """
    if not settings.moves:
        return
    factor = rate_factor(
        settings.schedule, settings.warmup_epochs, epoch=epoch, share=share, epochs=epochs
    )
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]
