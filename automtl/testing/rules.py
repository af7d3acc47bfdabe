"""A contract is a table of rules; each is a small function that says in words what it found
broken.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from automtl.errors import ConfigError
from automtl.strict import nearest

Size = tuple[int, ...]


class Case(Protocol):
    """The module that a rule is checked on."""

    @property
    def name(self) -> str:
        """For messages: "sharing kind 'mmoe'"."""


C = TypeVar("C", bound=Case)


class Broken(Exception):
    """A rule that does not hold; the table adds its name and the case's."""


@dataclass(frozen=True)
class Rule(Generic[C]):
    """One rule of a contract.

    Args:
        name: in words, joined by underscores.
        check: raises an AssertionError that names rule, case and what was got.
        sizes: what it is checked at; each is told to `check` after the case.
    """

    name: str
    check: Callable[..., None]
    sizes: tuple[Size, ...]

    @property
    def text(self) -> str:
        """The rule in words: its docstring on one line."""
        return " ".join((self.check.__doc__ or "").split())


class Rules(dict[str, Rule[C]]):
    """The rules of a contract by name."""

    def at(self, *sizes: Size) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Take a function in, to be checked at these sizes; without any it is told no size."""

        def add(check: Callable[..., None]) -> Callable[..., None]:
            @wraps(check)
            def named(case: C, *size: int) -> None:
                where = f"{case.name}, rule {check.__name__}"
                try:
                    check(case, *size)
                except Broken as fault:
                    raise AssertionError(f"{where}: {fault}") from None
                except Exception as fault:
                    got = f"{type(fault).__name__}: {' '.join(str(fault).split())[:300]}"
                    raise AssertionError(
                        f"{where}: must run without an error, got {got}"
                    ) from fault

            self[check.__name__] = Rule(check.__name__, named, sizes or ((),))
            return named

        return add

    def hold(self, case: C, without: Collection[str] = ()) -> None:
        """Check a case by every rule but some.

        Raises:
            ConfigError: a rule to leave out that is none.
            AssertionError: all that do not hold, a line each.
        """
        for name in without:
            if name not in self:
                raise ConfigError("without", "must name rules", repr(name), nearest(name, self))
        faults = list(self._faults(case, without))
        if faults:
            raise AssertionError("\n".join(faults))

    def _faults(self, case: C, without: Collection[str]) -> Iterator[str]:
        for rule in self.values():
            for size in rule.sizes if rule.name not in without else ():
                try:
                    rule.check(case, *size)
                except AssertionError as fault:
                    yield str(fault)
                    break


def demand(holds: bool, rule: str, got: object) -> None:
    """Break a rule where something does not hold.

    Raises:
        Broken: with what must hold and what was got.
    """
    if not holds:
        raise Broken(f"{rule}, got {got}")


def demand_same(one: Sequence[Tensor], other: Sequence[Tensor], rule: str) -> None:
    """Break a rule where two answers are not the same bits.

    Raises:
        Broken: with the largest difference.
    """
    demand_close(one, other, rule, tolerance=0.0)


def demand_close(
    one: Sequence[Tensor], other: Sequence[Tensor], rule: str, tolerance: float = 1e-12
) -> None:
    """Break a rule where two answers differ by more than the tolerance, absolute and relative.

    Raises:
        Broken: with the largest difference.
    """
    demand(len(one) == len(other), rule, f"{len(one)} tensors beside {len(other)}")
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        demand(a.shape == b.shape, rule, f"shapes {tuple(a.shape)} and {tuple(b.shape)}")
        near = (a - b).abs() <= tolerance * (1 + b.abs()) if a.is_floating_point() else a == b
        # infinity is near itself only, and no number as far from itself as can be
        same = (a == b) | (a.isnan() & b.isnan())
        apart = ~(same | (near & a.isfinite() & b.isfinite()))
        largest = (a.detach().double() - b.detach().double()).abs().max() if a.numel() else 0.0
        demand(not apart.any(), rule, f"a difference of {float(largest):.3g} in number {i}")


def demand_finite(tensors: Sequence[Tensor], rule: str) -> None:
    """Break a rule where a number is not finite.

    Raises:
        Broken: with how many are not.
    """
    wrong = sum(int((~t.isfinite()).sum()) for t in tensors)
    demand(not wrong, rule, f"{wrong} numbers that are not")


def on_meta(answer: Callable[[], Sequence[Tensor]]) -> None:
    """Break a rule where a module that was moved to the device "meta" answers elsewhere, or mixes
    devices.

    A meta tensor has no values: a module that reads one, as DSelect-k does to see whether it has
    settled, is not gone on with.

    Raises:
        Broken: with the devices, or with torch's own words.
    """
    rule = "must answer on the device that it was moved to"
    try:
        devices = {tensor.device.type for tensor in answer()}
    except (RuntimeError, NotImplementedError) as fault:
        demand("cannot be called on meta tensors" in str(fault), rule, " ".join(str(fault).split()))
    else:
        demand(devices == {"meta"}, rule, devices)
