"""The strategies that move alpha by gradients over a supernet."""

from typing import Any

from automtl.strategies._sampled import Sampled
from automtl.strategies._supernet_search import SupernetSearch
from automtl.strategies._unrolled import Unrolled
from automtl.strategies.darts import Darts
from automtl.strategies.protocol import SearchContext, Strategy


def darts(context: SearchContext) -> Strategy:
    """DARTS, of first or second order."""
    options, common = context.options, _common(context)
    if options.second_order:
        return SupernetSearch(
            context, Unrolled(**common, hvp=options.hvp, hvp_scale=options.hvp_scale)
        )
    return SupernetSearch(context, Darts(**common))


def snas(context: SearchContext) -> Strategy:
    """All candidates, mixed by a relaxed sample."""
    return _sampled(context, hard=False)


def gdas(context: SearchContext) -> Strategy:
    """One sampled candidate of each block."""
    return _sampled(context, hard=True)


def _sampled(context: SearchContext, *, hard: bool) -> Strategy:
    options = context.options
    stepper = Sampled(
        **_common(context),
        hard=hard,
        temperature=options.temperature,
        final_temperature=options.final_temperature,
        generator=context.generator,
    )
    return SupernetSearch(context, stepper)


def _common(context: SearchContext) -> dict[str, Any]:
    """The arguments of every stepper."""
    return {
        "net": context.make_supernet(),
        "schema": context.schema,
        "settings": context.settings,
        "autocast": context.autocast,
        "guard": context.guard,
        "ranks": context.ranks,
    }
