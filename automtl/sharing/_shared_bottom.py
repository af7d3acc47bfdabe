"""Shared bottom (Caruana, 1997)."""

from automtl.sharing.network import FusionNetwork


class SharedBottom(FusionNetwork):
    """One expert whose output every task reads."""

    kind = "shared_bottom"
