"""The strategy of every method that trains a supernet: epochs over the fit rows, with A rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from automtl.data.store.batches import Batch
from automtl.models.supernet import Supernet
from automtl.spaces.architecture import Architecture, Sharing
from automtl.spaces.decisions import EXPERTS_OF, Decision, Motion
from automtl.strategies._perturbation import perturbed
from automtl.strategies.darts import Darts
from automtl.strategies.decisions import (
    BY_BETA,
    BY_START,
    ONE_SUPERNET,
    Ground,
    distinct,
    next_by_weight,
    next_experts,
    undecided,
)
from automtl.strategies.derive import choice_weights, derive
from automtl.strategies.encoding import MOST_DRAWS, SpaceEncoding
from automtl.strategies.ledger import Kind, SupernetPrices
from automtl.strategies.monitor import gradient_conflict, hessian_eigenvalue
from automtl.strategies.protocol import SearchContext, Strategy
from automtl.training.checkpoint_state import Count, State, parse
from automtl.training.loop import StepEvent, run_epoch
from automtl.training.losses import Losses

_PROPOSALS = 977  # a stream of draws apart from a search's own


class SearchState(State):
    """State of a strategy; the stepper checks its own part."""

    stepper: Any
    samples: Count


class SupernetSearch(Strategy):
    """Runs a stepper over the planned epochs.

    Args:
        context: data, space, settings.
        stepper: trains the supernet.
    """

    form: type[SearchState] = SearchState

    def __init__(self, context: SearchContext, stepper: Darts) -> None:
        super().__init__(context)
        self.stepper = stepper
        self.epochs = context.settings.epochs
        self.supernet: Supernet = stepper.net
        stepper.watch_alphas(len(context.alpha) if stepper.moves_alpha else 0)
        sharing = Sharing(
            kind=context.settings.sharing, settings=dict(context.settings.sharing_settings)
        )
        self.choices = SpaceEncoding(context.space, context.schema, sharing)
        self._removed: dict[str, dict[str, float]] = {}
        batch = context.fit.num_rows // len(context.fit)
        self._prices = SupernetPrices(stepper.net, context.schema, rows=batch)
        stepper.spend = self.spend

    def spend(self, kind: Kind, rows: int) -> None:
        """Report a use of rows at the price of the supernet as it stands."""
        self.context.ledger.add(kind, rows, *self._prices())

    def run_epoch(self, epoch: int, start: int = 0) -> Iterator[StepEvent]:
        """One pass over the fit rows, or what is left of it."""
        context, steps = self.context, len(self.context.fit)
        planned = steps * context.settings.epochs
        self.stepper.begin_epoch(epoch)
        alphas = context.alpha.cycle(epoch * steps + start)

        def update(step: int, batch: Batch) -> Losses:
            self.supernet.sharing.advance((epoch * steps + step) / planned)
            alpha_batch = (
                next(alphas).to(context.device, non_blocking=True)
                if self.stepper.moves_alpha
                else None
            )
            self.samples += batch.step_size
            self.samples += 0 if alpha_batch is None else alpha_batch.step_size
            return self.stepper.step(alpha_batch, batch)

        yield from run_epoch(update, context.fit, epoch=epoch, start=start, device=context.device)
        self.stepper.end_epoch()

    def cut(self) -> None:
        """Bring deferred updates up to date."""
        self.stepper.end_epoch()

    def evaluated(self) -> nn.Module | None:
        """The supernet."""
        return self.supernet

    def record(self) -> dict[str, Any]:
        """The records of the stepper and of the sharing module, the decisions so far, and what is
        measured on one batch of A rows.
        """
        record = {**self.stepper.record(), "sharing": self.supernet.sharing.record()}
        record["decisions"] = [d.plain for d in self.decisions(self._likeliest())]
        context = self.context
        if not context.options.gradient_conflict and not context.options.hessian:
            return record
        batch = next(context.scored.epoch(0)).to(context.device)
        if context.options.gradient_conflict:
            record["gradient_cosine"] = gradient_conflict(self.supernet, context.schema, batch)
        if context.options.hessian:
            record["eigenvalue"] = hessian_eigenvalue(self.supernet, context.schema, batch)
        return record

    def derive(self) -> Architecture:
        """The stepper's choice, or the one by perturbation."""
        context = self.context
        if context.options.selection != "perturbation":
            return self.stepper.derive()
        losses_and_rows = perturbed(
            self.supernet,
            context.scored,
            context.schema.tasks,
            device=context.device,
            seed=context.seed,
            spend=self.spend,
        )
        # the same to the bit on all ranks
        self._removed, rows = context.ranks.told(losses_and_rows)
        self.samples += rows
        best = {name: max(losses, key=losses.__getitem__) for name, losses in self._removed.items()}
        return self._likeliest(best)

    def _likeliest(
        self,
        best: dict[str, str] | None = None,
        chosen: tuple[tuple[int, ...], ...] | None = None,
    ) -> Architecture:
        s = self.context.settings
        return derive(
            self.supernet,
            self.context.schema,
            sharing=s.sharing,
            settings=s.sharing_settings,
            best=best,
            chosen=chosen,
        )

    def proposals(self, count: int) -> list[Architecture]:
        """What is derived, then architectures drawn by softmax(alpha) and softmax(beta) within the
        limits.
        """
        rng, first = np.random.default_rng([self.context.seed, _PROPOSALS]), self.derive()
        weights, betas = choice_weights(self.supernet), self.supernet.beta_parameters()
        usage = betas[0].detach().double().softmax(1).tolist() if betas else None
        pricing = self.stepper.pricing

        def drawn() -> Iterator[Architecture]:
            yield first
            for _ in range(MOST_DRAWS):
                genome = self.choices.sample(rng, weights, usage)
                best = {
                    name: str(self.choices.operations(name)[pick])
                    for name, pick in zip(self.choices.names, genome.picks, strict=True)
                }
                architecture = self._likeliest(best, genome.chosen)
                if pricing is None or pricing.within(architecture):
                    yield architecture

        return distinct(drawn(), count)

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """The choices with what they rest on; one supernet decides none."""
        by_block = choice_weights(self.supernet)
        tasks = {f"{EXPERTS_OF}{task.name}": t for t, task in enumerate(self.context.schema.tasks)}

        def ground(choice: str, taken: str) -> Ground:
            if choice in tasks:
                evidence = BY_START if self.stepper.warming_up else BY_BETA
                return Ground(next_experts(architecture, tasks[choice]), evidence)
            weights = by_block[choice]
            if losses := self._removed.get(choice):
                other = next_by_weight(losses, taken)
                missed = "" if other is None else f", of {other} {losses[other]:.5f}"
                evidence = f"loss on A rows without it {losses[taken]:.5f}{missed}"
            else:
                other = next_by_weight(weights, taken)
                beside = "" if other is None else f" against {weights[other]:.3f}"
                evidence = f"softmax(alpha) {weights[taken]:.3f}{beside}"
            return Ground(other, f"{ONE_SUPERNET}: {evidence}", self._motion(choice, taken, other))

        return undecided(self.choices, architecture, ground)

    def _motion(self, choice: str, taken: str, other: str | None) -> Motion | None:
        if other is None or not self.stepper.moves_alpha:
            return None
        names = [str(operation) for operation in self.choices.operations(choice)]
        alpha = self.supernet.alphas[choice]
        return self.stepper.gradients.motion(alpha, names.index(taken), names.index(other))

    def state_dict(self) -> dict[str, Any]:
        """The stepper's state and the rows read."""
        return {"stepper": self.stepper.state_dict(), "samples": self.samples}

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``."""
        self.samples = parse(self.form, state, "strategy").samples
        self.stepper.load_state_dict(state["stepper"])

    def stands_at(self, epoch: int, step: int) -> bool:
        """Whether the epoch has that step."""
        return step <= len(self.context.fit)
