"""Multi-level MMoE (baseline of AdaTT, Li et al., KDD 2023, section 4.1)."""

from automtl.sharing.network import GatedNetwork


class MultiLevelMMoE(GatedNetwork):
    """MMoE stacked: an inner level has one gate per expert of the next, the last one per task;
    every gate sees the raw h.
    """

    kind = "ml_mmoe"
    raw_gates = True
