"""Customised gate control (Tang et al., RecSys 2020, section 4.1)."""

from automtl.sharing.network import GatedNetwork


class CGC(GatedNetwork):
    """Each task gates its own experts and the shared ones, in this order: softmax(W_k h) [E_k, E_s]
    (eq. 1 to 3).
    """

    kind = "cgc"
