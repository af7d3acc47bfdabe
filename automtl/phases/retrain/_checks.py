"""Checks of a retrain before any data is read."""

from automtl.config import RunConfig
from automtl.data.spec.dataset import DatasetConfig
from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import fit_sharing
from automtl.spaces.placement import Placement
from automtl.training.balancing import check_balancing
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.early_stopping import check_monitor


def check_retrain(architecture: Architecture, config: RunConfig, dataset: DatasetConfig) -> None:
    """Refuse settings that do not fit each other, the architecture or the tasks.

    Raises:
        ConfigError: there are such.
    """
    if config.runtime.time_limit_s is not None:
        raise ConfigError(
            "runtime.time_limit_s",
            "must be left out of a retrain, which ends when validation stops falling",
            config.runtime.time_limit_s,
            "lower retrain.epochs or retrain.patience; Ctrl-C keeps what is done for --resume",
        )
    module = architecture.sharing
    kinds = {task.name: task.kind for task in dataset.tasks}
    count = len(Placement(architecture).pool())
    fit_sharing(module.kind, module.settings, num_experts=count, tasks=kinds)
    check_monitor(config.retrain.monitor, kinds, grouped=dataset.group is not None)
    balancing = config.retrain.balancing
    check_balancing(BalancingSettings(**balancing.given()), kinds, where="retrain.balancing")
    if module.kind == "single_task" and not (balancing.plain or balancing.method == "equal"):
        rule = "must be left out for single_task, whose networks share nothing"
        raise ConfigError(
            "retrain.balancing",
            rule,
            balancing.method,
            "choose another sharing kind, or no balancing",
        )
