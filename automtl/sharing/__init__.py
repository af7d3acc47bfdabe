"""Sharing modules: one socket, every system a plug; one explicit table from kind to class."""

from automtl.sharing.base import SharingModule
from automtl.sharing.mmoe import MMoE
from automtl.sharing.selected import ExpertSelection, Selected
from automtl.sharing.shared_bottom import SharedBottom

# `single_task` is no module: an architecture of that kind has one part per task (Architecture.parts).
SHARING_MODULES: dict[str, type[SharingModule]] = {
    "selected": Selected,
    "mmoe": MMoE,
    "shared_bottom": SharedBottom,
}

# Kinds that stand in the supernet in another form than at retrain.
SEARCH_MODULES: dict[str, type[SharingModule]] = {**SHARING_MODULES, "selected": ExpertSelection}
