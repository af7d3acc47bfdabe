"""The search in a loop of one's own: the supernet of a space, the steps that train it, and the
architecture that is read from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from automtl.data.store.batches import Batch
from automtl.data.store.schema import Schema
from automtl.errors import ConfigError
from automtl.models.supernet import Supernet as _Supernet
from automtl.models.supernet import supernet_parts
from automtl.nn._experts import is_count
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import sharing_settings
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts as _Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.derive import derive as _derive
from automtl.strict import build, nearest
from automtl.training.losses import Losses


class Supernet(_Supernet):
    """The network of all architectures of a space: a choice block wherever the space leaves a
    choice, y = sum_o softmax(alpha)_o op_o(x).

    Weights, alpha and beta are drawn from torch's own generator, as those of any module. Its tables
    give sparse gradients, for ``Darts``.

    Source: "AutoMTL: Automatic Multi-Task Learning Framework with Neural Architecture Search for
    Recommender Systems", anonymous manuscript, section 3.4.1.

    Shape: ``mtl.Inputs(ids, dense)`` with ids (B, categorical fields) and dense (B, numeric fields)
    -> T tensors of logits, (B,) or (B, classes).

    >>> user = mtl.Field(name="user", kind="categorical", vocabulary_size=100)
    >>> price = mtl.Field(name="price", kind="numeric")
    >>> tasks = tuple(mtl.Task(name=name, kind="binary") for name in ("click", "buy"))
    >>> schema = mtl.Schema(name="shop", fields=(user, price), tasks=tasks)
    >>> net = mtl.Supernet("automtl_small", schema)
    >>> inputs = mtl.Inputs(torch.randint(0, 100, (8, 1)), torch.randn(8, 1))
    >>> [tuple(logits.shape) for logits in net(inputs)]
    [(8,), (8,)]
    >>> len(net.alpha_parameters())  # one interaction block, four experts of two blocks
    9

    Args:
        space: a shipped space's name, a path, or a space.
        schema: fields and tasks.
        sharing: the sharing kind that stands in it.
        settings: of the sharing kind; the others take their defaults.
        sparse: whether tables give sparse gradients.
        generator: of dropout and gate noise; None for torch's own.

    Raises:
        ConfigError: there is no such space or kind, or a setting that does not fit.
    """

    def __init__(
        self,
        space: str | Path | SearchSpace,
        schema: Schema,
        *,
        sharing: str = "selected",
        settings: Mapping[str, Any] | None = None,
        sparse: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        loaded = space if isinstance(space, SearchSpace) else SearchSpace.load(space)
        make = supernet_parts(
            loaded, schema, sharing=sharing, settings=settings, sparse=sparse, generator=generator
        )
        super().__init__(**make())
        self.schema, self.sharing_kind = schema, sharing
        self.sharing_settings = sharing_settings(sharing, settings or {})


class Darts(_Darts):
    """First-order DARTS: each step moves alpha on one batch, then weights, and after a warm-up beta
    too, on another.

    alpha -= Adam of d/d alpha L(alpha batch),  w, beta -= d/dw, beta L(fit batch) + w_JSD L_JSD
    (AutoMTL, Algorithm 1; first order)

    It knows its optimisers, schedules and clipping; ``automtl.search`` takes the same steps, over
    epochs. Rows that move alpha should be no rows that train weights.

    Source: H. Liu, K. Simonyan, Y. Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
    arXiv:1806.09055; AutoMTL (see `Supernet`), sections 3.4 and 4.1.4.

    >>> user = mtl.Field(name="user", kind="categorical", vocabulary_size=100)
    >>> click = mtl.Task(name="click", kind="binary")
    >>> schema = mtl.Schema(name="shop", fields=(user,), tasks=(click,))
    >>> darts = mtl.Darts(mtl.Supernet("automtl_small", schema), steps=6)
    >>> def batch():
    ...     ids = torch.randint(0, 100, (32, 1))
    ...     return mtl.Batch(mtl.Inputs(ids, torch.empty(32, 0)), (ids > 50).float())
    >>> for _ in range(6):
    ...     losses = darts.step(batch(), batch())
    >>> losses.total.shape, darts.taken
    (torch.Size([]), 6)
    >>> darts.derive().sharing.kind
    'selected'

    Args:
        net: the supernet.
        steps: planned. The schedules go over them: the warm-up, the cosine of the weights' rate,
            the auxiliary skip and w_JSD. A step beyond them is taken as the last.
        settings: of ``DartsSettings``, such as ``alpha_lr=3e-3``; the others are what the space
            recommends, and else the paper's. Its `epochs` are the parts of the schedules.

    Raises:
        ConfigError: a setting that there is not, or a number of steps that is none.
    """

    def __init__(self, net: Supernet, *, steps: int = 1000, **settings: Any) -> None:
        known = {*DartsSettings.model_fields} - {"sharing", "sharing_settings"}
        for name in settings:
            if name not in known:
                raise ConfigError(
                    f"Darts {name}", "must be a setting of it", repr(name), nearest(name, known)
                )
        if not is_count(steps):
            raise ConfigError("Darts steps", "must be a whole number above 0", repr(steps))
        recommended = net.space.recommended.get("search", {})
        chosen = {name: value for name, value in recommended.items() if name in known}
        own = {"sharing": net.sharing_kind, "sharing_settings": net.sharing_settings}
        built = build(DartsSettings, {**chosen, **settings}, "Darts")
        super().__init__(net, net.schema, built.model_copy(update=own))
        self.steps, self.taken = int(steps), 0
        self.begin_epoch(0)

    def step(self, alpha_batch: Batch | None, fit_batch: Batch) -> Losses:
        """One step of alpha, then one of the weights; the losses on the fit batch before it."""
        last = self.settings.epochs - 1
        part = min(self.taken * self.settings.epochs // self.steps, last)
        if part != self.epoch:
            self.end_epoch()
            self.begin_epoch(part)
        self.net.sharing.advance(min(self.taken / self.steps, 1.0))
        self.taken += 1
        return super().step(alpha_batch, fit_batch)

    def derive(self) -> Architecture:
        """The best operation of each block, and for each task the experts of the largest beta; for
        ``automtl.build_model``. Deferred updates of the tables are applied first.
        """
        self.end_epoch()
        return super().derive()

    def state_dict(self) -> dict[str, Any]:
        """All that going on needs beside the supernet's own state."""
        return {"taken": self.taken, "stepper": super().state_dict()}

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``."""
        super().load_state_dict(state["stepper"])
        self.taken = int(state["taken"])


def derive(net: Supernet) -> Architecture:
    """The architecture that a supernet stands for: argmax of every alpha, and for each task the
    experts of the largest beta.

    >>> user = mtl.Field(name="user", kind="categorical", vocabulary_size=100)
    >>> click = mtl.Task(name="click", kind="binary")
    >>> schema = mtl.Schema(name="shop", fields=(user,), tasks=(click,))
    >>> architecture = mtl.derive(mtl.Supernet("automtl_small", schema))
    >>> len(architecture.experts), len(architecture.interaction)
    (4, 1)

    Args:
        net: trained by ``Darts``, or by a loop of one's own.
    """
    return _derive(net, net.schema, sharing=net.sharing_kind, settings=net.sharing_settings)
