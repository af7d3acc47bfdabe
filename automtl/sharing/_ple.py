"""Progressive layered extraction (Tang et al., RecSys 2020, section 4.2)."""

from automtl.sharing.network import GatedNetwork


class PLE(GatedNetwork):
    """CGC stacked: on every level but the last a shared unit gates all experts of the level, and
    feeds the shared ones of the next.

    A unit's gate and experts read the unit's own vector of the level before (eq. 5 and 6).
    """

    kind = "ple"
