"""Settings of the search by gradients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from automtl.data.store.schema import Schema
from automtl.errors import ConfigError
from automtl.models.prices import Latencies
from automtl.models.supernet import Supernet
from automtl.strategies.pricing import Limits, Pricing
from automtl.training.balancing.balancer import BalancingSettings


@dataclass(frozen=True)
class DartsSettings:
    """Hyper-parameters of a search; defaults are AutoMTL's where it names them (section 4.1.4).
    Rates are per step, decays L2.
    """

    epochs: int = 15
    warmup_epochs: int = 5
    weight_lr: float = 0.02
    weight_momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_norm: float = 5.0
    alpha_lr: float = 1e-3
    alpha_decay: float = 1e-6
    beta_lr: float = 1e-3
    beta_decay: float = 3e-4
    jsd_weight: float = 1.0
    auxiliary_skip: float = 1.0
    cost_weight: float = 0.0
    cost_of: Literal["flops", "parameters"] = "flops"
    max_flops: int | None = None
    max_params: int | None = None
    max_latency_ms: float | None = None
    latencies: Latencies | None = None
    embedding_optimizer: Literal["sgd", "lazy_adam"] = "sgd"
    embedding_lr: float = 1e-3
    sharing: str = "selected"
    sharing_settings: Mapping[str, Any] = field(default_factory=dict)
    balancing: BalancingSettings = field(default_factory=BalancingSettings)

    def __post_init__(self) -> None:
        if self.warmup_epochs >= self.epochs:
            rule = (
                f"must be below search.epochs = {self.epochs}, since beta trains only after warm-up"
            )
            raise ConfigError(
                "search.warmup_epochs", rule, self.warmup_epochs, "lower it or search longer"
            )


def make_pricing(net: Supernet, schema: Schema, settings: DartsSettings) -> Pricing | None:
    """The candidates' costs, where the settings limit or weigh them; else None."""
    s = settings
    limits = Limits(
        s.max_flops,
        s.max_params,
        None if s.max_latency_ms is None else round(1000 * s.max_latency_ms),
    )
    if not limits.active and not s.cost_weight:
        return None
    return Pricing(
        net,
        schema,
        sharing=s.sharing,
        settings=s.sharing_settings,
        limits=limits,
        latencies=s.latencies,
    )
