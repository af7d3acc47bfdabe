"""Settings of the search by gradients."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from automtl.data.store.schema import Schema
from automtl.models.prices import Latencies
from automtl.models.supernet import Supernet
from automtl.spaces.strategies import SupernetSettings
from automtl.strategies.pricing import Limits, Pricing
from automtl.training.balancing.balancer import BalancingSettings


class DartsSettings(SupernetSettings):
    """Settings of a search by gradients.

    Args:
        sharing_settings: of the sharing kind.
        balancing: of the weight steps.
        latencies: the candidates' times, where the search limits them.
    """

    sharing_settings: Mapping[str, Any] = Field(default_factory=dict)
    balancing: BalancingSettings = BalancingSettings()
    latencies: Latencies | None = None

    @classmethod
    def of(cls, section: Any, **own: Any) -> Self:
        """The settings of a section of the configuration, by its attributes of the same names, and
        those of its own.
        """
        same = {name: getattr(section, name) for name in SupernetSettings.model_fields}
        return cls(**same, **own)


def make_pricing(net: Supernet, schema: Schema, settings: DartsSettings) -> Pricing | None:
    """The candidates' costs, where the settings limit or weigh them; else None."""
    s = settings
    limits = Limits(
        s.max_flops,
        s.max_params,
        None if s.max_latency_ms is None else round(1000 * s.max_latency_ms, 9),
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
