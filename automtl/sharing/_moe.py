"""Mixture of experts (Jacobs et al., 1991) under all tasks."""

from automtl.sharing.network import GatedNetwork


class MoE(GatedNetwork):
    """softmax(W h) over all experts, one gate for all tasks."""

    kind = "moe"
