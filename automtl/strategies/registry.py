"""The strategies by name."""

from collections.abc import Callable
from typing import Any

from automtl.strategies._random import RandomSampling, RandomSearch
from automtl.strategies._supernet_search import SupernetSearch
from automtl.strategies._unrolled import Unrolled
from automtl.strategies.darts import Darts
from automtl.strategies.evolution import Evolution
from automtl.strategies.protocol import SearchContext, Strategy
from automtl.strategies.sampled import Sampled


def _darts(context: SearchContext) -> Strategy:
    o, net = context.options, context.make_supernet()
    if o.second_order:
        return SupernetSearch(
            context,
            Unrolled(
                net,
                context.schema,
                context.settings,
                hvp=o.hvp,
                hvp_scale=o.hvp_scale,
                autocast=context.autocast,
                guard=context.guard,
                ranks=context.ranks,
            ),
        )
    same: dict[str, Any] = {
        "autocast": context.autocast,
        "guard": context.guard,
        "ranks": context.ranks,
    }
    return SupernetSearch(context, Darts(net, context.schema, context.settings, **same))


def _sampled(context: SearchContext, hard: bool) -> Strategy:
    heat: dict[str, Any] = {
        "temperature": context.options.temperature,
        "final_temperature": context.options.final_temperature,
    }
    same: dict[str, Any] = {
        "generator": context.generator,
        "autocast": context.autocast,
        "guard": context.guard,
    }
    same["ranks"] = context.ranks
    stepper = Sampled(
        context.make_supernet(), context.schema, context.settings, hard=hard, **heat, **same
    )
    return SupernetSearch(context, stepper)


STRATEGIES: dict[str, Callable[[SearchContext], Strategy]] = {
    "darts": _darts,
    "snas": lambda context: _sampled(context, hard=False),
    "gdas": lambda context: _sampled(context, hard=True),
    "random_sampling": RandomSampling,
    # a race is its halving: it takes draws, and trains nothing before
    "random_search": lambda context: (
        RandomSampling(context) if context.options.selection == "race" else RandomSearch(context)
    ),
    "evolution": Evolution,
}
