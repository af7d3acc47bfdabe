"""Sharing modules, all with the same arguments and answers; the catalogue has a row for each kind.

- `selected`: "AutoMTL: Automatic Multi-Task Learning Framework with Neural Architecture Search for
  Recommender Systems", anonymous.
- `dselect_k`: H. Hazimeh, Z. Zhao, A. Chowdhery, M. Sathiamoorthy, Y. Chen, R. Mazumder, L. Hong,
  E. H. Chi, "DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to
  Multi-Task Learning", NeurIPS 2021, arXiv:2106.03760.
- `mssm`: K. Ding, X. Dong, Y. He, L. Cheng, C. Fu, Z. Huan, H. Li, T. Yan, L. Zhang, X. Zhang, L.
  Mo, "MSSM: A Multiple-level Sparse Sharing Model for Efficient Multi-Task Learning", SIGIR 2021,
  doi:10.1145/3404835.3463022.
- `adatt`: D. Li, Z. Zhang, S. Yuan, M. Gao, W. Zhang, C. Yang, X. Liu, J. Yang, "AdaTT: Adaptive
  Task-to-Task Fusion Network for Multitask Learning in Recommendations", KDD 2023,
  doi:10.1145/3580305.3599769.
- `mome`: J. Xu, L. Sun, D. Zhao, "MoME: Mixture-of-Masked-Experts for Efficient Multi-Task
  Recommendation", SIGIR 2024, doi:10.1145/3626772.3657922.

The other kinds name theirs in their own files.
"""

from collections.abc import Callable
from pkgutil import resolve_name

from automtl.sharing._adatt import AdaTT
from automtl.sharing._aitm import AITM
from automtl.sharing._cross_stitch import CrossStitch
from automtl.sharing._gated import CGC, PLE, MMoE, MoE, MultiLevelMMoE, SharedBottom
from automtl.sharing._gumbel import GumbelGates
from automtl.sharing._selected import ExpertSelection, Selected
from automtl.sharing._snr import SNRAver, SNRTrans
from automtl.sharing._top_k import TopK
from automtl.sharing.base import SharingModule
from automtl.sharing.dselect_k import DSelectK
from automtl.sharing.mome import MoME
from automtl.sharing.mssm import MSSM
from automtl.spaces.catalogue import SHARING

__all__ = [
    "AITM",
    "CGC",
    "MSSM",
    "PLE",
    "SEARCH_MODULES",
    "SHARING_MODULES",
    "AdaTT",
    "CrossStitch",
    "DSelectK",
    "ExpertSelection",
    "GumbelGates",
    "MMoE",
    "MoE",
    "MoME",
    "MultiLevelMMoE",
    "SNRAver",
    "SNRTrans",
    "Selected",
    "SharedBottom",
    "SharingModule",
    "TopK",
]

# Every kind that is a module. The catalogue names its class, since the catalogue is plain data that
# imports no torch.
SHARING_MODULES: dict[str, Callable[..., SharingModule]] = {
    kind: resolve_name(f"automtl.sharing.{signature.module}")
    for kind, signature in SHARING.items()
    if signature.module
}

# Kinds that stand in the supernet in another form than at retrain.
SEARCH_MODULES: dict[str, Callable[..., SharingModule]] = {
    **SHARING_MODULES,
    "selected": ExpertSelection,
}
