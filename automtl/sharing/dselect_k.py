"""DSelect-k: a sparse gate that is differentiable everywhere (Hazimeh et al., NeurIPS 2021).

Legend: B rows, D width, T tasks, N experts, k selectors, m = ceil(log2 N) bits, z (.., k, m) their
logits, w (.., k) their scores.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers.gates import (
    GateMeter,
    bit_codes,
    selector_entropy,
    single_selectors,
    smooth_step,
)
from automtl.sharing._mixing import weighed_sum
from automtl.sharing.base import ParameterGroup, Scratch, Stage
from automtl.sharing.network import FusionNetwork

# Adam's rate for z and w: at the weights' 1e-3 training stops long before S(z) is binary
RATE = 1e-2
SELECT = "select"
SCORE_START = 0.05
COUNTED = 1e-5  # an expert of a larger weight counts as selected
# steps between two looks whether static selectors have settled: each look waits for the device
_LOOK_EVERY = 50


class DSelectK(FusionNetwork):
    """q = sum_j softmax(w)_j r(S(z^(j))) per task: k selectors, each a product over the bits of an
    expert's number (eq. 4 and 6).

    Static: z and w are parameters. Per example: linear in h, with biases. N not a power of two:
    only the N codes that name an expert are reached, q is not renormalised, and sum_j 1 / (1e-6 +
    sum_i r_i) is added to the loss. A static gate that has become binary does not compute the
    experts it has not selected.

    Stage "select": gamma, the width of the smooth step S, goes to 0 over its last third, so that
    S(z) becomes binary; at its end every selector chooses one expert for good. An epoch in which
    gates select is never judged, and may lie far beyond the best: so the chosen experts of a static
    gate are trained from fresh weights; gates that read the row depend on all weights, and go on
    from the best epoch of the stage, their S a step. A search has no stages: there gamma stays as
    it is.

    # DEVIATION: gamma narrows in every training, and what is not binary by then is rounded; the
    paper (section 3.1.3) names this as one way to binary gates, relies on the entropy, and leaves
    out of its tuning what has not become binary.

    Args:
        k: selectors, at most N.
        gamma: width of the smooth step before it narrows.
        select_epochs: of the stage "select".
        per_example: each row selects its own experts.
        entropy: weight of sum_j H(r(S(z^(j)))) in the loss, the mean over rows where they differ.
        socket: what every sharing module takes.
    """

    kind = "dselect_k"
    codes: Tensor
    gamma: Tensor
    selecting: Tensor
    steps: Tensor
    binary_step: Tensor

    def __init__(
        self,
        *,
        k: int,
        gamma: float,
        select_epochs: int,
        per_example: bool,
        entropy: float,
        **socket: Any,
    ) -> None:
        super().__init__(**socket)
        self.start = gamma
        self.select_epochs = select_epochs
        self.entropy = entropy
        self.static = not per_example
        self.register_buffer("codes", bit_codes(len(self.slots)), persistent=False)  # (N, m)
        self.shape = (len(self.tasks), k, self.codes.shape[1])
        self.z: nn.Parameter | nn.Linear | None = None
        self.w: nn.Parameter | nn.Linear | None = None
        if len(self.slots) > 1:
            make = _parameter if self.static else self._linear
            self.z = make(self.shape, gamma / 100)
            self.w = make(self.shape[:2], SCORE_START) if k > 1 else None
        self.register_buffer("gamma", torch.tensor(float(gamma)))
        # the stage "select" is on
        self.register_buffer("selecting", torch.zeros((), dtype=torch.bool))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("binary_step", torch.full((), -1, dtype=torch.int64))  # -1: not binary
        self.counts = GateMeter(len(self.tasks))
        self._step_selectors = Scratch()
        self._regularised = len(self.slots) & (len(self.slots) - 1) != 0
        self._calls = 0
        self._narrowing = False  # `selecting`, known without waiting for the device
        self.selected: list[tuple[int, ...]] | None = None  # per task, once a static gate is binary

    def get_extra_state(self) -> Tensor:
        """The experts selected, once a static gate was seen to be binary; none before. Shape: (T,
        N) bool.
        """
        taken = torch.zeros(len(self.tasks), len(self.slots), dtype=torch.bool)
        for task, row in enumerate(self.selected or ()):
            taken[task, list(row)] = True
        return taken

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from ``get_extra_state()``."""
        self.selected = (
            [tuple(row.nonzero().flatten().tolist()) for row in state]
            if bool(state.any())
            else None
        )
        self._calls, self._narrowing = int(self.steps), bool(self.selecting)

    def _linear(self, shape: Sequence[int], bound: float) -> nn.Linear:
        linear = nn.Linear(self.width_in, int(torch.Size(shape).numel()))
        nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.uniform_(linear.bias, -bound, bound)
        return linear

    def stages(self) -> tuple[Stage, ...]:
        if self.z is None:
            return super().stages()
        return Stage(SELECT, self.select_epochs, judged=False), Stage(
            "train", begins="anew" if self.static else "best"
        )

    def decided(self) -> frozenset[str]:
        names = {"z", "w", "gamma", "selecting", "steps", "binary_step", "_extra_state"}
        return frozenset(names & self.state_dict().keys())

    def begin(self, stage: str) -> None:
        self._narrowing = stage == SELECT
        self.selecting.fill_(self._narrowing)
        if not self._narrowing:
            self._round()

    def advance(self, progress: float) -> None:
        if self._narrowing:
            self.gamma.fill_(self.start * min(1.0, 3 * (1 - progress)))
        self.steps.add_(1)
        self._calls += 1
        # momentum may carry a settled z back
        if self.selected is not None or self._calls % _LOOK_EVERY == 0:
            self._settle()

    def train(self, mode: bool = True) -> "DSelectK":
        super().train(mode)
        self._settle()
        return self

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        if self.z is None:
            return [None] * len(units)
        z = self._value(self.z, gate_inputs[0], self.shape)  # (T, k, m) or (B, T, k, m)
        r = self._selectors(z)  # (.., T, k, N)
        q = self._combined(r, gate_inputs[0])  # (.., T, N)
        if self.counts.update_statistics and not torch.compiler.is_exporting():
            self._store(z, r, q)
        return list(q.unbind(-2))  # T times (B, N) or (N,)

    def _value(self, source: nn.Parameter | nn.Linear, x: Tensor, shape: Sequence[int]) -> Tensor:
        return source if isinstance(source, nn.Parameter) else source(x).unflatten(1, tuple(shape))

    def _selectors(self, z: Tensor) -> Tensor:
        return single_selectors(smooth_step(z, self.gamma.to(z.dtype)), self.codes)

    def _combined(self, r: Tensor, x: Tensor) -> Tensor:
        if self.w is None:
            return r.squeeze(-2)
        return (self._value(self.w, x, self.shape[:2]).softmax(dim=-1).unsqueeze(-1) * r).sum(-2)

    @torch.no_grad()
    def _store(self, z: Tensor, r: Tensor, q: Tensor) -> None:
        """Store what records and the regulariser need of a forward pass."""
        self.counts.observe((q > COUNTED).sum(-1))
        if self.training:
            binary = (z.abs() >= self.gamma / 2).all()
            since = torch.where(self.binary_step < 0, self.steps, self.binary_step)
            self.binary_step.copy_(torch.where(binary, since, -1))
            self._step_selectors.value = r

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor | None:
        if self.z is None:
            return None
        r, self._step_selectors.value = self._step_selectors.value, None
        if isinstance(self.z, nn.Parameter):
            r = self._selectors(self.z)
        if r is None:
            raise ConfigError(
                "auxiliary loss of dselect_k",
                "must follow a forward pass in training, since each row selects its own experts",
                "none since the last one",
            )
        loss = self.entropy * selector_entropy(r)  # (.., T, k)
        if self._regularised:
            loss = loss + 1 / (1e-6 + r.sum(-1))
        return loss.sum((-2, -1)).mean()

    @torch.no_grad()
    def _settle(self) -> None:
        """Find out whether a static gate is binary, and which experts it has then selected."""
        self.selected = None
        if isinstance(self.z, nn.Parameter) and bool((self.z.abs() >= self.gamma / 2).all()):
            q = self._combined(self._selectors(self.z), self.z)
            self.selected = [
                tuple(i for i, weight in enumerate(row) if weight > 0) or (0,) for row in q.tolist()
            ]

    def outputs(self, slots: Sequence[int], inputs: Sequence[Tensor]) -> list[Tensor]:
        if self.selected is None:
            return super().outputs(slots, inputs)
        selected = {slot for task in self.selected for slot in task}
        inside = [i for i, slot in enumerate(slots) if slot in selected]
        computed = dict(
            zip(
                inside,
                super().outputs([slots[i] for i in inside], [inputs[i] for i in inside]),
                strict=True,
            )
        )
        # no task reads the other experts
        return [computed[i] if i in computed else x.new_empty(0) for i, x in enumerate(inputs)]

    def weighed_sum(self, unit: int, weights: Tensor | None, outputs: Sequence[Tensor]) -> Tensor:
        if self.selected is None or weights is None:
            return super().weighed_sum(unit, weights, outputs)
        self.meter(unit).observe(weights)
        picks = self.selected[unit]
        return weighed_sum(torch.stack([weights[i] for i in picks]), [outputs[i] for i in picks])

    @torch.no_grad()
    def _round(self) -> None:
        """Every selector chooses one expert for good: a static one its most probable, z far from
        S's slope; per example, S is a step.
        """
        if isinstance(self.z, nn.Parameter):
            bits = self.codes[self._selectors(self.z).argmax(dim=-1)]  # (T, k, m)
            self.gamma.fill_(self.start)
            self.z.copy_(torch.where(bits, self.gamma, -self.gamma))
            self._settle()
        elif self.z is not None:
            self.gamma.zero_()
        self.binary_step.copy_(torch.where(self.binary_step < 0, self.steps, self.binary_step))

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay would pull z back to where no expert is selected."""
        selectors, scores = (
            [] if source is None else _parameters(source) for source in (self.z, self.w)
        )
        return [
            ParameterGroup("selectors", selectors, lr=RATE, weight_decay=0.0),
            ParameterGroup("scores", scores, lr=RATE),
        ]

    def record(self) -> dict[str, Any]:
        """Per task the experts of mean weight above 1e-5 and how many of them a row has; the step
        at which S(z) became binary.
        """
        experts = {
            task: [i for i, w in enumerate(q.tolist()) if w > COUNTED]
            for task, q in self.gate_weights().items()
        }
        step = int(self.binary_step)
        counts = (
            dict(zip(self.tasks, self.counts.mean().tolist(), strict=True))
            if self.z is not None
            else dict.fromkeys(self.tasks, 1.0)
        )
        selection = {
            "experts": experts,
            "experts_per_row": counts,
            "binary_step": step if step >= 0 else None,
            "gamma": float(self.gamma),
        }
        return {**super().record(), **selection}


def _parameters(source: nn.Parameter | nn.Linear) -> list[nn.Parameter]:
    return [source] if isinstance(source, nn.Parameter) else list(source.parameters())


def _parameter(shape: Sequence[int], bound: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(tuple(shape)).uniform_(-bound, bound))
