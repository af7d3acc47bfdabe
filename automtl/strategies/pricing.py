"""Cost in the search: the expected cost as a term of alpha's loss, and hard limits on what is
derived.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from automtl.data.store.schema import Schema
from automtl.errors import ConfigError
from automtl.models.derived import build_model
from automtl.models.latency import candidate_latencies, latency_us
from automtl.models.prices import COSTS, Latencies, fixed_costs, prices
from automtl.models.supernet import Supernet
from automtl.spaces.architecture import Architecture
from automtl.strategies._constrained import Block, Problem, best_within
from automtl.strategies.derive import derive

# per cost the setting of its limit, and how many of the cost make one of the setting
_SETTING = {
    "flops": ("search.max_flops", 1),
    "parameters": ("search.max_params", 1),
    "latency_us": ("search.max_latency_ms", 1000),
}


@dataclass(frozen=True)
class Limits:
    """Hard limits on a derived model, None for none.

    Args:
        flops: per row of a forward pass.
        parameters: embedding tables left out.
        latency_us: microseconds of a forward pass, by the sum of what its parts took.
    """

    flops: int | None = None
    parameters: int | None = None
    latency_us: float | None = None

    @property
    def active(self) -> dict[str, float]:
        """The limits that are set, by cost."""
        return {name: value for name in COSTS if (value := getattr(self, name)) is not None}


class Pricing:
    """Costs of a supernet's candidates, counted once on the fresh supernet.

    Args:
        net: the supernet; no block is on a path.
        schema: the data set.
        sharing: the sharing kind in it.
        settings: of the sharing kind.
        limits: on what is derived.
        latencies: what the candidates took; a limit on time needs them.

    Raises:
        ConfigError: even the cheapest model is beyond a limit.
    """

    def __init__(
        self,
        net: Supernet,
        schema: Schema,
        *,
        sharing: str,
        settings: Mapping[str, Any],
        limits: Limits,
        latencies: Latencies | None = None,
    ) -> None:
        assert limits.latency_us is None or latencies is not None, "a limit on time needs times"
        self.net, self.limits = net, limits
        self.common: dict[str, Any] = {"sharing": sharing, "settings": settings}
        self.schema = schema
        self.table = prices(net, schema, latencies)
        self._experts = [
            [f"{slot}.block.{j}" for j in range(net.space.num_blocks)] for slot in net.slots
        ]
        self._shared = [name for name in self.table.operations if name.startswith("interaction.")]
        sample = derive(net, schema, **self.common)
        self.fixed = fixed_costs(sample, schema, self.table, self.used(sample))
        if latencies is not None:
            self.fixed = np.append(self.fixed, latencies.rest)
        self._check()

    def used(self, architecture: Architecture) -> dict[str, str]:
        """The operations of the blocks that an architecture really has."""
        best = {name: architecture.interaction[i] for i, name in enumerate(self._shared)}
        for i in (
            architecture.pool() if architecture.chosen is not None else range(len(self._experts))
        ):
            best |= dict(zip(self._experts[i], architecture.experts[i].blocks, strict=True))
        return best

    def _check(self) -> None:
        for name, limit in self.limits.active.items():
            least = self.least(name)
            if least > limit:
                setting, unit = _SETTING[name]
                rule = f"must be at least {least / unit:.10g}, the cheapest model of the space"
                raise ConfigError(setting, rule, f"{limit / unit:.10g}", "raise it")

    def least(self, cost: str) -> int:
        """That cost of the cheapest model of the space."""
        k = COSTS.index(cost)
        count = (
            self.net.space.chosen(len(self.schema.tasks))
            if self.net.beta_parameters()
            else len(self._experts)
        )
        cheapest = {block: int(costs[:, k].min()) for block, costs in self.table.candidates.items()}
        experts = sorted(sum(cheapest[b] for b in blocks) for blocks in self._experts)[:count]
        return int(self.fixed[k]) + sum(cheapest[b] for b in self._shared) + sum(experts)

    def cost(self, architecture: Architecture) -> dict[str, int]:
        """FLOPs per row, parameters beside the tables, and where it was measured microseconds of an
        architecture of this space.
        """
        total = self.fixed + self.table.total(self.used(architecture))[: len(self.fixed)]
        return dict(zip(COSTS, total.tolist(), strict=False))

    def within(self, architecture: Architecture) -> bool:
        """Whether an architecture keeps the limits."""
        cost = self.cost(architecture)
        return all(cost[name] <= limit for name, limit in self.limits.active.items())

    def derive(self) -> Architecture:
        """The best architecture within the limits by log softmax(alpha) and log softmax(beta)."""
        architecture = self.best_within(self.limits)
        if architecture is None:
            rule = "must leave room for some model together with the other limits"
            raise ConfigError(
                _SETTING[next(iter(self.limits.active))][0],
                rule,
                self.limits.active,
                "raise one of them",
            )
        return architecture

    def best_within(self, within: Limits) -> Architecture | None:
        """The same within other limits; None where nothing is."""
        columns = [COSTS.index(name) for name in within.active]
        limits = np.array(list(within.active.values()), dtype=np.int64)
        blocks = {name: self._block(name, columns) for name in self.table.operations}
        betas = self.net.beta_parameters()
        choice = best_within(
            Problem(
                common=[blocks[name] for name in self._shared],
                experts=[[blocks[name] for name in names] for names in self._experts],
                beta=betas[0].detach().double().log_softmax(1).cpu().numpy() if betas else None,
                count=self.net.space.chosen(len(self.schema.tasks)),
                fixed=self.fixed[columns],
                limits=limits,
            )
        )
        if choice is None:
            return None
        best = {name: int(block.scores.argmax()) for name, block in blocks.items()} | choice.picks
        spoken = {name: self.table.operations[name][pick] for name, pick in best.items()}
        architecture = derive(
            self.net, self.schema, best=spoken, chosen=choice.chosen, **self.common
        )
        provenance = {
            "limits": within.active,
            "cost": self.cost(architecture),
            "score": choice.score,
        }
        return architecture.evolve(provenance={"within_limits": provenance})

    def _block(self, name: str, columns: list[int]) -> Block:
        alpha = self.net.alphas[name]
        return Block(
            name,
            alpha.detach().double().log_softmax(0).cpu().numpy(),
            self.table.candidates[name][:, columns],
            id(alpha),
        )


def measure(
    net: Supernet, schema: Schema, *, sharing: str, settings: Mapping[str, Any], rows: int
) -> Latencies:
    """Time every candidate of a supernet and one derived model, on this machine.

    Args:
        net: the supernet; no block is on a path.
        schema: the data set.
        sharing: the sharing kind in it.
        settings: of the sharing kind.
        rows: of the batch.
    """
    pricing = Pricing(net, schema, sharing=sharing, settings=settings, limits=Limits())
    sample = derive(net, schema, sharing=sharing, settings=settings)
    by_block = candidate_latencies(net, schema, rows=rows)
    operations = pricing.table.operations
    inside = sum(
        int(by_block[block][operations[block].index(operation)])
        for block, operation in pricing.used(sample).items()
    )
    whole = latency_us(build_model(sample, schema, max_parameters=None), schema, rows=rows)
    return Latencies(
        rows, {name: times.tolist() for name, times in by_block.items()}, max(whole - inside, 0)
    )


class ExpectedCost:
    """E[cost] = sum over blocks of softmax(alpha) . costs, relative to its value at equal alphas: 1
    at the start of a search.

    Args:
        pricing: the candidates' costs.
        of: which cost.
    """

    def __init__(self, pricing: Pricing, of: Literal["flops", "parameters"]) -> None:
        by_alpha: dict[int, tuple[Tensor, Tensor]] = {}
        for name, alpha in pricing.net.alphas.items():
            row = torch.from_numpy(pricing.table.candidates[name][:, COSTS.index(of)]).to(alpha)
            before = by_alpha[id(alpha)][1] if id(alpha) in by_alpha else torch.zeros_like(row)
            by_alpha[id(alpha)] = alpha, before + row
        self._pairs = list(by_alpha.values())
        self._whole = sum(float(costs.mean()) for _, costs in self._pairs) or 1.0

    def __call__(self) -> Tensor:
        """The relative expected cost, with gradient. Shape: ()."""
        return (
            torch.stack([alpha.softmax(0) @ costs for alpha, costs in self._pairs]).sum()
            / self._whole
        )
