"""The strategies by name."""

from collections.abc import Callable
from typing import Any

from automtl.strategies._random import RandomSampling, RandomSearch
from automtl.strategies._supernet_search import SupernetSearch
from automtl.strategies._unrolled import Unrolled
from automtl.strategies.darts import Darts
from automtl.strategies.evolution import Evolution
from automtl.strategies.protocol import Material, Strategy
from automtl.strategies.sampled import Sampled


def _darts(m: Material) -> Strategy:
    o, net = m.options, m.make_supernet()
    if o.second_order:
        return SupernetSearch(
            m,
            Unrolled(
                net,
                m.schema,
                m.settings,
                hvp=o.hvp,
                hvp_scale=o.hvp_scale,
                autocast=m.autocast,
                guard=m.guard,
                ranks=m.ranks,
            ),
        )
    same: dict[str, Any] = {"autocast": m.autocast, "guard": m.guard, "ranks": m.ranks}
    return SupernetSearch(m, Darts(net, m.schema, m.settings, **same))


def _sampled(m: Material, hard: bool) -> Strategy:
    heat: dict[str, Any] = {
        "temperature": m.options.temperature,
        "final_temperature": m.options.final_temperature,
    }
    same: dict[str, Any] = {"generator": m.generator, "autocast": m.autocast, "guard": m.guard}
    same["ranks"] = m.ranks
    stepper = Sampled(m.make_supernet(), m.schema, m.settings, hard=hard, **heat, **same)
    return SupernetSearch(m, stepper)


STRATEGIES: dict[str, Callable[[Material], Strategy]] = {
    "darts": _darts,
    "snas": lambda m: _sampled(m, hard=False),
    "gdas": lambda m: _sampled(m, hard=True),
    "random_sampling": RandomSampling,
    # a race is its halving: it takes draws, and trains nothing before
    "random_search": lambda m: (
        RandomSampling(m) if m.options.selection == "race" else RandomSearch(m)
    ),
    "evolution": Evolution,
}
