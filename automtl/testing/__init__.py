"""Is it right? What every sharing kind, operation and strategy keeps, held against one of your own.

>>> automtl.testing.check_sharing("mmoe")
>>> automtl.testing.check_operation("gate", place="expert")

Silence is the answer of what keeps every rule. What does not is told rule by rule, in the words of
one AssertionError. A test of one's own may run over the rules one by one; the package's tests do:

>>> from automtl.testing import sharing
>>> sharing.RULES["rows_do_not_see_each_other"].text
"In evaluation a row's answer does not change with the rows beside it."
>>> from automtl.testing.sharing_modules import sharing_case
>>> case = sharing_case("top_k", {"k": 1})
>>> for rule in sharing.RULES.values():
...     for size in rule.sizes:
...         rule.check(case, *size)
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from automtl.sharing.base import SharingModule
from automtl.strategies.protocol import SearchContext, Strategy
from automtl.testing import operations, sharing, strategies
from automtl.testing.sharing_modules import sharing_case

__all__ = ["check_operation", "check_sharing", "check_strategy"]


def check_sharing(
    kind: str | type[SharingModule],
    *,
    settings: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> None:
    """Hold a sharing kind to every rule of ``automtl.testing.sharing``.

    Its class says where it promises less or more: ``noisy`` (training draws numbers from
    `generator`), ``partial`` (a step may leave experts or weights out), ``normalised`` (the weights
    of each unit sum to 1 as it begins).

    >>> automtl.testing.check_sharing("adatt", settings={"task_experts": 2})

    Args:
        kind: name or class of a kind that is registered.
        settings: of the kind; the others take their defaults.
        without: names of rules that it need not keep.

    Raises:
        AssertionError: the rules that do not hold, a line each: the kind, the rule, what must hold
            and what was got.
        ConfigError: there is no such kind, setting or rule.
    """
    sharing.RULES.hold(sharing_case(kind, settings), without)


def check_operation(
    operation: str,
    *,
    place: str,
    width: int = 6,
    num_fields: int = 3,
    dim: int = 8,
    without: Collection[str] = (),
) -> None:
    """Hold an operation to every rule of ``automtl.testing.operations``.

    >>> automtl.testing.check_operation("mlp(16)", place="expert")
    >>> automtl.testing.check_operation("self_attention(3)", place="interaction", dim=6)

    Args:
        operation: as a space writes it.
        place: "expert" or "interaction".
        width: of an expert's input.
        num_fields: of an interaction's input.
        dim: of each of its fields.
        without: names of rules that it need not keep.

    Raises:
        AssertionError: the rules that do not hold, a line each.
        ConfigError: there is no such operation in that place, or no such rule.
    """
    case = operations.operation_case(operation, place, width=width, num_fields=num_fields, dim=dim)
    operations.RULES.hold(case, without)


def check_strategy(
    strategy: str | Callable[[SearchContext], Strategy],
    *,
    options: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> None:
    """Hold a search strategy to every rule of ``automtl.testing.strategies``, on a small search in
    memory. It takes seconds.

    >>> automtl.testing.check_strategy("random_sampling")

    Args:
        strategy: its name, or what makes one from its context.
        options: fields of ``automtl.strategies.protocol.Options``.
        without: names of rules that it need not keep.

    Raises:
        AssertionError: the rules that do not hold, a line each.
        ConfigError: there is no such strategy or rule.
    """
    strategies.RULES.hold(strategies.strategy_case(strategy, options), without)
