"""Multi-gate mixture of experts (Ma et al., KDD 2018)."""

from automtl.sharing.network import GatedNetwork


class MMoE(GatedNetwork):
    """softmax(W_k h) over all N experts, one gate per task (Ma et al. 2018, eq. 5-7)."""

    kind = "mmoe"
