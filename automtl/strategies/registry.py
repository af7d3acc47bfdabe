"""The strategies by name: each called with a search's context.

The rows are in ``spaces.strategies``, which is plain data without torch.
"""

from collections.abc import Callable
from pkgutil import resolve_name

from automtl.spaces.strategies import STRATEGIES as SIGNATURES
from automtl.strategies.protocol import SearchContext, Strategy

STRATEGIES: dict[str, Callable[[SearchContext], Strategy]] = {
    name: resolve_name(f"automtl.strategies.{signature.module}")
    for name, signature in SIGNATURES.items()
}
