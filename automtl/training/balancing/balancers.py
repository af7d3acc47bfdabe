"""The methods of balancing by name, and what makes them. torchjd is asked for only where a method
of its is chosen.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

from torch import nn

from automtl.data.store.schema import Task
from automtl.errors import ConfigError
from automtl.models.skeleton import MultiTaskNet
from automtl.ranks import ALONE, Ranks
from automtl.strict import nearest
from automtl.training.balancing._gradient_balancing import GradNorm, Weighting
from automtl.training.balancing._surgery import Surgery
from automtl.training.balancing.balancer import Balancer, BalancingSettings, Uncertainty
from automtl.training.replica import Replica


def _pcgrad(settings: BalancingSettings) -> Weighting:
    """Yu et al., NeurIPS 2020, Algorithm 1: c = the sum of its projected gradients'
    coefficients.
    """
    from torchjd.aggregation import PCGradWeighting

    return PCGradWeighting()


def _cagrad(settings: BalancingSettings) -> Weighting:
    """Liu et al., NeurIPS 2021, Algorithm 1, without its final rescaling. The mean gradient times K
    is the plain one.
    """
    from torchjd.aggregation import CAGradWeighting

    return _times_tasks(CAGradWeighting(c=settings.cagrad_c))


def _mgda(settings: BalancingSettings) -> Weighting:
    """Desideri 2012 by Frank-Wolfe (Sener and Koltun, NeurIPS 2018, Algorithm 2): the shortest
    convex combination, times K.
    """
    from torchjd.aggregation import MGDAWeighting

    return _times_tasks(MGDAWeighting())


def _aligned_mtl(settings: BalancingSettings) -> Weighting:
    """Senushkin et al., CVPR 2023: the mean of the gradients with their principal components made
    equally long, times K.
    """
    from torchjd.aggregation import AlignedMTLWeighting

    return _times_tasks(AlignedMTLWeighting())


def _times_tasks(weighting: Weighting) -> Weighting:
    """Methods that speak of the mean gradient: times K, even weights become 1 each."""
    return lambda gram: len(gram) * weighting(gram)


SURGERY: dict[str, Callable[[BalancingSettings], Weighting]] = {
    "pcgrad": _pcgrad,
    "cagrad": _cagrad,
    "mgda": _mgda,
    "aligned_mtl": _aligned_mtl,
}
NEEDED = {
    "pcgrad": ("torchjd",),
    "cagrad": ("torchjd", "cvxpy"),
    "mgda": ("torchjd",),
    "aligned_mtl": ("torchjd",),
}
PLAIN = ("equal", "fixed")
METHODS = (*PLAIN, "uncertainty", "gradnorm", *SURGERY)


def check_balancing(
    settings: BalancingSettings, tasks: Iterable[str], *, where: str = "balancing"
) -> None:
    """Refuse what a data set or this machine cannot do.

    Args:
        settings: method and its settings.
        tasks: all names.
        where: the section.

    Raises:
        ConfigError: a weight of an unknown task, or a method whose extra is not installed.
    """
    for name in settings.weights or {}:
        if name not in (known := list(tasks)):
            raise ConfigError(
                f"{where}.weights",
                "must name the data set's tasks",
                repr(name),
                nearest(name, known),
            )
    missing = [module for module in NEEDED.get(settings.method, ()) if find_spec(module) is None]
    if missing:
        got = f"no package {' and no '.join(missing)}"
        raise ConfigError(
            f"{where}.method",
            f"{settings.method} needs its extra",
            got,
            "pip install 'automtl[balancing]'",
        )


def make_balancer(
    settings: BalancingSettings,
    tasks: Sequence[Task],
    net: MultiTaskNet,
    *,
    outside: Sequence[nn.Parameter] = (),
    ranks: Ranks = ALONE,
) -> Balancer:
    """The balancer of one network's training; with one task there is nothing to balance and
    training is plain.

    Args:
        settings: method and its settings, checked.
        tasks: of the network.
        net: whose weights train.
        outside: parameters of no tower that are not shared, such as beta.
        ranks: the processes that train it together.
    """
    shares, replica = shares_of(settings, tasks), Replica(net, ranks)
    if len(tasks) < 2 or settings.method in PLAIN:
        return Balancer(tasks, shares, settings, replica=replica)
    if settings.method == "uncertainty":
        return Uncertainty(tasks, shares, settings, replica=replica)
    place: dict[str, Any] = {"net": net, "outside": outside, "replica": replica}
    if settings.method == "gradnorm":
        return GradNorm(tasks, shares, settings, **place)
    return Surgery(tasks, shares, settings, weighting=SURGERY[settings.method](settings), **place)


def shares_of(settings: BalancingSettings, tasks: Sequence[Task]) -> tuple[float, ...]:
    """w_k: even for `equal`, else by the settings' weights and, for tasks not named there, the data
    set's. Shape: T numbers.
    """
    if settings.method == "equal":
        return (1 / len(tasks),) * len(tasks)
    given = settings.weights or {}
    weights = [given.get(task.name, task.weight) for task in tasks]
    return tuple(weight / sum(weights) for weight in weights)
