"""The sharing kinds that a space or an architecture may name: their signatures as plain data.

The modules that compute them live in ``automtl.sharing``; names match one to one. Kept apart so
that a space can refuse an unknown kind, or k > N, before any data is read and without importing
torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automtl.errors import ConfigError
from automtl.spaces.settings import Setting
from automtl.strict import nearest


@dataclass(frozen=True)
class SharingSignature:
    """The legal form of one sharing kind.

    Args:
        source: the paper.
        slots: who owns the experts: "pool" (all tasks), "task" (each its own), "shared" (one for
            all), "units" (each its own, and a shared unit), "sub_networks" (one each, and a shared
            one), "base" (one expert in all slots, which the kind tells apart by masks over its
            linear layers); see ``spaces.kinds.LAYOUTS``.
        wiring: which outputs each unit weighs, a name of ``spaces.wiring.WIRINGS``.
        module: where in ``automtl.sharing`` its class stands, "file:class"; empty for a kind that
            is no module, and for one that is registered.
        settings: its settings by name.
        in_supernet: it can stand in the supernet.
        uses_beta: in the supernet its experts are chosen by expert-selection parameters.
    """

    source: str
    slots: str
    wiring: str
    module: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    in_supernet: bool = True
    uses_beta: bool = False


def _count(default: int | None, minimum: int, text: str, of: str = "") -> Setting:
    return Setting(
        default,
        minimum=minimum,
        maximum=1024,
        optional=default is None,
        kind=int,
        of=of,
        places=True,
        help=text,
    )


def _task_experts(default: int) -> Setting:
    text = (
        "Experts of each task's unit, per level: one number, or one for each task as a list or "
        "by name."
    )
    return _count(default, 1, text, of="each task")


_LEVELS = Setting(
    2, minimum=1, maximum=64, places=True, help="Levels of experts, each fused before the next."
)
_EXPERTS = _count(
    None, 1, "Experts per level; null takes as many as the architecture or the space has."
)
_SHARED_EXPERTS = "Experts of the shared unit, per level; 0 for no shared unit."
_UNITS = {"task_experts": _task_experts(2), "shared_experts": _count(2, 0, _SHARED_EXPERTS)}
_GATE_BIAS = Setting(False, help="Give the gates a bias.")
_K = Setting(2, minimum=1, maximum=1024, of="experts", help="The most experts that a gate selects.")
_SETTLE = Setting(
    400,
    maximum=100_000_000,
    kind=int,
    help="Steps in which masks settle, before an epoch may be the best.",
)
_SNR = {
    "experts": _EXPERTS,
    "levels": _LEVELS,
    "l0": Setting(
        1e-2,
        maximum=1e6,
        help="Weight of the expected number of connections that are on, beyond one of each unit.",
    ),
    "settle_steps": _SETTLE,
}
_GUMBEL = {
    "temperature": Setting(
        1.0, minimum=1e-3, maximum=1e3, help="Temperature at the start of training."
    ),
    "final_temperature": Setting(
        0.1,
        minimum=1e-3,
        maximum=1e3,
        help="Temperature at its end; in between it falls geometrically.",
    ),
}
_DSELECT = {
    "k": _K,
    "gamma": Setting(
        1.0,
        minimum=1e-3,
        maximum=1e3,
        help="Width of the smooth step; goes to 0 while experts are selected.",
    ),
    "select_epochs": Setting(
        5,
        minimum=1,
        maximum=100_000,
        help="Epochs in which experts are selected, before any may be the best.",
    ),
    "per_example": Setting(False, help="Let each row select its own experts."),
    "entropy": Setting(1e-2, maximum=1e6, help="Weight of the selectors' entropy in the loss."),
}
_ADATT = {
    "levels": _LEVELS,
    "task_experts": _task_experts(1),
    "shared_experts": _count(0, 0, _SHARED_EXPERTS),
    "gate_bias": _GATE_BIAS,
    "native_residual": Setting(
        True, help="Add the unit's own experts outside the gate; false is the ablation of Table 6."
    ),
    "native_init": Setting(
        "uniform",
        choices=("uniform", "ones"),
        help="How the weights of a unit's own experts start.",
    ),
}
_AITM = {
    "order": Setting(
        None,
        optional=True,
        kind=tuple,
        of="tasks",
        help="The tasks in the order of the funnel; null takes the data set's.",
    ),
    "calibration": Setting(
        0.0,
        maximum=1e6,
        of="binary",
        help="Weight of how far a task's probability exceeds that of the one before.",
    ),
    "transfer": Setting(
        "linear",
        choices=("linear", "dense"),
        help="What passes on: linear, or a layer with BatchNorm, ReLU, dropout.",
    ),
    "transfer_dropout": Setting(0.0, maximum=0.9, help="Rate of the dropout of transfer dense."),
}
_MOME = {
    "masks": Setting(
        8,
        maximum=1024,
        help="Weight masks over the base network, the experts; 0 for the base alone.",
    ),
    "neuron_epochs": Setting(
        10,
        maximum=100_000,
        help="Epochs of the neuron masks, before dead ones are removed; 0 for none.",
    ),
    "weight_epochs": Setting(
        10, minimum=1, maximum=100_000, help="Epochs of the weight masks, before they are rounded."
    ),
    "lambda_neuron": Setting(
        1e-5, maximum=1e6, help="Weight of the expected number of neurons that are on."
    ),
    "lambda_weight": Setting(
        1e-7, maximum=1e6, help="Weight of the expected number of mask entries that are on."
    ),
    "penalty": Setting(
        "sum", choices=("sum", "mean"), help="Over the masks' entries: their sum, or their mean."
    ),
    "norms": Setting(
        "own",
        choices=("own", "shared"),
        help="Each expert's BatchNorms its own, or the same for all.",
    ),
}

_MSSM = {
    "levels": _LEVELS,
    "fields": Setting(
        True,
        help="Mask fields before the interaction, per sub-network; false is MSSM-a, or SNR-Trans "
        "with cells off too.",
    ),
    "field_mask": Setting(
        "vector",
        choices=("vector", "scalar"),
        help="A mask per number, or the paper's letter: one per field and row.",
    ),
    "cells": Setting(
        True,
        help="A mask per cell; false is MSSM-b: one per connection, and all sub-networks are "
        "connected.",
    ),
    "penalty": Setting(
        "mean",
        choices=("mean", "sum"),
        help="What lambda_m weighs: the mean or the sum of masks' probabilities to be on.",
    ),
    "lambda_m": Setting(
        0.1, maximum=1e6, help="Weight of that penalty; 0.01 with sum is the paper's."
    ),
    "l2": Setting(
        1e-3,
        maximum=1e6,
        help="Weight of the mean square of the sub-networks' and connections' weights.",
    ),
    "settle_steps": _SETTLE,
}

SHARING: dict[str, SharingSignature] = {
    "selected": SharingSignature(
        "AutoMTL, section 3.3.3", "pool", "picked", "_selected:Selected", uses_beta=True
    ),
    "moe": SharingSignature(
        "Jacobs et al., 1991", "pool", "one_for_all", "_gated:MoE", {"experts": _EXPERTS}
    ),
    "mmoe": SharingSignature(
        "Ma et al., KDD 2018", "pool", "one_per_task", "_gated:MMoE", {"gate_bias": _GATE_BIAS}
    ),
    "ml_mmoe": SharingSignature(
        "Li et al., KDD 2023, section 4.1",
        "pool",
        "stacked",
        "_gated:MultiLevelMMoE",
        {"levels": _LEVELS},
    ),
    "top_k": SharingSignature(
        "Shazeer et al., ICLR 2017",
        "pool",
        "one_per_task",
        "_top_k:TopK",
        {"k": _K, "per_example": Setting(True, help="Let each row select its own experts.")},
    ),
    "gumbel": SharingSignature(
        "Sun et al., NeurIPS 2020, as in Hazimeh et al., section 4",
        "pool",
        "one_per_task",
        "_gumbel:GumbelGates",
        _GUMBEL,
    ),
    "dselect_k": SharingSignature(
        "Hazimeh et al., NeurIPS 2021", "pool", "one_per_task", "dselect_k:DSelectK", _DSELECT
    ),
    "snr_trans": SharingSignature("Ma et al., AAAI 2019", "pool", "stacked", "_snr:SNRTrans", _SNR),
    "snr_aver": SharingSignature("Ma et al., AAAI 2019", "pool", "stacked", "_snr:SNRAver", _SNR),
    "shared_bottom": SharingSignature(
        "Caruana, 1997", "shared", "one_for_all", "_gated:SharedBottom"
    ),
    "cgc": SharingSignature(
        "Tang et al., RecSys 2020, section 4.1", "units", "progressive", "_gated:CGC", _UNITS
    ),
    "ple": SharingSignature(
        "Tang et al., RecSys 2020, section 4.2",
        "units",
        "progressive",
        "_gated:PLE",
        {"levels": _LEVELS, **_UNITS},
    ),
    "adatt": SharingSignature("Li et al., KDD 2023", "units", "all_to_all", "_adatt:AdaTT", _ADATT),
    "cross_stitch": SharingSignature(
        "Misra et al., CVPR 2016",
        "task",
        "all_to_all",
        "_cross_stitch:CrossStitch",
        {"levels": _LEVELS},
    ),
    "aitm": SharingSignature(
        "Xi et al., KDD 2021", "task", "chain", "_aitm:AITM", _AITM, in_supernet=False
    ),
    "mome": SharingSignature(
        "Xu et al., SIGIR 2024", "base", "one_per_task", "mome:MoME", _MOME, in_supernet=False
    ),
    "mssm": SharingSignature(
        "Ding et al., SIGIR 2021", "sub_networks", "sparse", "mssm:MSSM", _MSSM
    ),
    "single_task": SharingSignature(
        "one whole model per task", "task", "own_only", in_supernet=False
    ),
}


def sharing_settings(kind: str, given: Mapping[str, Any], where: str = "sharing") -> dict[str, Any]:
    """All settings of a sharing kind, the given ones checked, the others at their defaults.

    Raises:
        ConfigError: the kind or a setting is unknown, or a value is illegal.
    """
    if kind not in SHARING:
        raise ConfigError(
            f"{where}.kind", "must be a known sharing kind", repr(kind), nearest(str(kind), SHARING)
        )
    known = SHARING[kind].settings
    for name in given:
        if name not in known:
            hint = nearest(str(name), known) if known else "this kind has no settings"
            raise ConfigError(f"{where}.{name}", f"must be a setting of {kind}", repr(name), hint)
    return {
        name: setting.check(f"{where}.{name}", given.get(name, setting.default))
        for name, setting in known.items()
    }


def fit_sharing(
    kind: str,
    given: Mapping[str, Any],
    *,
    num_experts: int,
    tasks: Mapping[str, str] | None = None,
    where: str = "sharing",
) -> None:
    """Refuse settings that are legal and cannot be meant here: more experts selected than there
    are, an order of other tasks.

    Args:
        kind: a sharing kind.
        given: its settings.
        num_experts: N, the size of the pool.
        tasks: kinds of the tasks by name, in order; None where they are not known yet.
        where: named in errors.

    Raises:
        ConfigError: as above, or as `sharing_settings` does.
    """
    for name, value in sharing_settings(kind, given, where).items():
        SHARING[kind].settings[name].fit(f"{where}.{name}", value, num_experts, tasks)


def module_settings(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a sharing module is told; the others only shape its slots."""
    return {
        name: value for name, value in settings.items() if not SHARING[kind].settings[name].places
    }
