"""Kinds that their wiring defines: which experts there are and who gates them is in their row of
``spaces.catalogue``.

- `moe`: mixture of experts (Jacobs et al., 1991) under all tasks.
- `mmoe`: multi-gate mixture of experts (Ma et al., KDD 2018).
- `ml_mmoe`: multi-level MMoE (baseline of AdaTT, Li et al., KDD 2023, section 4.1).
- `shared_bottom`: (Caruana, 1997).
- `cgc`, `ple`: customised gate control, and progressive layered extraction (Tang et al., RecSys
  2020, sections 4.1 and 4.2).
"""

from automtl.sharing.network import FusionNetwork, GatedNetwork


class MoE(GatedNetwork):
    """softmax(W h) over all experts, one gate for all tasks."""

    kind = "moe"


class MMoE(GatedNetwork):
    """softmax(W_k h) over all N experts, one gate per task (Ma et al. 2018, eq. 5-7)."""

    kind = "mmoe"


class MultiLevelMMoE(GatedNetwork):
    """MMoE stacked: an inner level has one gate per expert of the next, the last one per task;
    every gate sees the raw h.
    """

    kind = "ml_mmoe"
    raw_gates = True


class SharedBottom(FusionNetwork):
    """One expert whose output every task reads."""

    kind = "shared_bottom"


class CGC(GatedNetwork):
    """Each task gates its own experts and the shared ones, in this order: softmax(W_k h) [E_k, E_s]
    (eq. 1 to 3).
    """

    kind = "cgc"


class PLE(GatedNetwork):
    """CGC stacked: on every level but the last a shared unit gates all experts of the level, and
    feeds the shared ones of the next.

    A unit's gate and experts read the unit's own vector of the level before (eq. 5 and 6).
    """

    kind = "ple"
