"""Adaptive information transfer along a funnel of tasks (Xi et al., KDD 2021). Legend: B rows, D
width, T tasks.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers.operations import Dense
from automtl.sharing._mixing import weighed_sum
from automtl.sharing.network import FusionNetwork


class AITM(FusionNetwork):
    """z_t attends to what the task before passes on, p_t = g(z_{t-1}), and to the task's own expert
    q_t; z_1 = q_1.

    z_t = sum over u in {p_t, q_t} of w_u h1(u), w = softmax(<h2(u), h3(u)> / sqrt(D)) (eq. 3 and
    4); h1, h2, h3 are linear without bias and the same for all tasks, as in the authors' code. The
    tower reads z_t.

    # DEVIATION: g is linear unless `transfer` is "dense", the authors' Linear -> BatchNorm -> ReLU
    -> dropout; the paper says a fully connected layer. The authors' code has one output unit on
    z_t; here each task's tower reads it.

    Args:
        order: all tasks in the order of the funnel; None for the listed one.
        calibration: weight of mean(max(y_t - y_{t-1}, 0)) (eq. 8), for binary tasks.
        transfer: "linear" or "dense".
        transfer_dropout: rate of the dense one's dropout.
        socket: what every sharing module takes.
    """

    kind = "aitm"

    def __init__(
        self,
        *,
        order: Sequence[str] | None = None,
        calibration: float = 0.0,
        transfer: str = "linear",
        transfer_dropout: float = 0.0,
        **socket: Any,
    ) -> None:
        names = list(socket["tasks"])
        super().__init__(order=[names.index(name) for name in order or names], **socket)
        self.calibration = calibration
        self.noisy = transfer == "dense" and transfer_dropout > 0
        self.chain = [self.tasks.index(name) for name in order or names]
        if len(set(self.width_out)) > 1:
            raise ConfigError(
                "experts",
                "must have one output width, since tasks attend to each other",
                sorted(set(self.width_out)),
            )
        width, later = self.width_out[0], len(self.tasks) - 1
        self.passes = nn.ModuleList(
            nn.Linear(width, width)
            if transfer == "linear"
            else Dense(
                width_in=width, units=width, dropout=transfer_dropout, generator=self.generator
            )
            for _ in range(later)
        )
        # h1, h2, h3
        self.heads = nn.ModuleList(
            nn.Linear(width, width, bias=False) for _ in range(3 if later else 0)
        )

    def combine(
        self,
        units: Sequence[int],
        gate_inputs: Sequence[Tensor],
        expert_outputs: Sequence[Sequence[Tensor]],
    ) -> list[Tensor]:
        vectors = [expert_outputs[0][0]]
        for unit, outputs, passed in zip(units[1:], expert_outputs[1:], self.passes, strict=True):
            both = torch.stack([passed(vectors[-1]), outputs[0]], dim=1)  # (B, 2, D): p_t, q_t
            value, query, key = (head(both) for head in self.heads)
            weights = ((query * key).sum(-1) / both.shape[-1] ** 0.5).softmax(dim=1)  # (B, 2)
            self.meter(unit).observe(weights)
            vectors.append(weighed_sum(weights, value.unbind(1)))
        return vectors

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor | None:
        if not self.calibration or len(self.tasks) == 1:
            return None
        if outputs is None or len(outputs) != len(self.tasks):
            raise ConfigError(
                "auxiliary loss of aitm",
                f"needs the logits of all {len(self.tasks)} tasks, since calibration compares them",
                "none" if outputs is None else f"{len(outputs)}",
                "pass auxiliary_loss(outputs), or set calibration to 0",
            )
        rates = [torch.sigmoid(outputs[t]) for t in self.chain]
        return (
            self.calibration
            * torch.stack(
                [(later - earlier).relu().mean() for earlier, later in pairwise(rates)]
            ).sum()
        )

    def slot_weights(self) -> Tensor | None:
        """None: it does not stand in the supernet, so that no expert is ranked by it."""
        return None

    def gate_weights(self) -> dict[str, Tensor]:
        """Per task but the first, the weights of what is passed on and of its own expert."""
        return {self.tasks[t]: self.meter(unit).mean() for unit, t in enumerate(self.chain) if unit}

    def record(self) -> dict[str, Any]:
        """Mean attention to what the task before passes on."""
        return {
            "passed_on": {task: float(weights[0]) for task, weights in self.gate_weights().items()}
        }
