"""Single-path one-shot training (Guo et al. 2020), then regularised evolution (Real et al. 2019) on
the shared weights.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from automtl.data.store.batches import Batch
from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import Decision
from automtl.strategies._supernet_search import SearchState, SupernetSearch
from automtl.strategies.darts import Darts
from automtl.strategies.decisions import ONE_SUPERNET, by_scores, distinct
from automtl.strategies.encoding import Genome, SpaceEncoding
from automtl.strategies.monitor import alpha_figures
from automtl.strategies.protocol import SearchContext, make_encoding
from automtl.strategies.score import score
from automtl.training.checkpoint_state import Count, parse, require
from automtl.training.loop import StepEvent
from automtl.training.losses import Losses

# in a state: picks, chosen experts, loss
Scored = tuple[tuple[tuple[Count, ...], tuple[tuple[Count, ...], ...] | None, float], ...]


class SinglePath(Darts):
    """Trains the weights, and after warm-up beta, of one architecture drawn afresh for each step;
    alpha stays.

    No auxiliary skip: a path must learn to work as it will be scored. Each task mixes its drawn
    experts by softmax(beta) over them.
    """

    moves_alpha = False
    partial_steps = True

    def __init__(
        self, *args: Any, encoding: SpaceEncoding, generator: torch.Generator, **darts: Any
    ) -> None:
        super().__init__(*args, **darts)
        self.encoding, self._generator = encoding, generator

    def begin_epoch(self, epoch: int) -> None:
        """Set the schedules, but no auxiliary skip."""
        super().begin_epoch(epoch)
        self._skip = 0.0
        self.net.set_auxiliary_skip(0.0)

    def step(self, alpha_batch: Batch | None, fit_batch: Batch) -> Losses:
        """One weight step on a path of its own."""
        seed = torch.randint(2**62, (1,), generator=self._generator, device=self._generator.device)
        self.encoding.set(self.net, self.draw(np.random.default_rng(int(seed))))
        return self._weight_step(fit_batch)

    def draw(self, rng: np.random.Generator) -> Genome:
        """The architecture of one step."""
        return self.encoding.draw(rng)


class _State(SearchState):
    """State of an evolution: the scores, too."""

    scored: Scored


class Evolution(SupernetSearch):
    """The planned epochs train; one more scores the first population, and each further one as many
    children as it has members.

    A child is the best of some drawn members, mutated in one place; the oldest member dies. Best of
    all scored is what is found. The score is the loss on the A rows.
    """

    form = _State

    def __init__(self, context: SearchContext) -> None:
        net = context.make_supernet()
        self.encoding = make_encoding(context, net)
        same: dict[str, Any] = {
            "generator": context.generator,
            "autocast": context.autocast,
            "guard": context.guard,
        }
        same["ranks"] = context.ranks
        super().__init__(
            context,
            SinglePath(net, context.schema, context.settings, encoding=self.encoding, **same),
        )
        self._trained = self.epochs
        self.scoring = 1 + context.options.generations
        self.epochs += self.scoring
        self._scored: list[tuple[Genome, float]] = []

    def run_epoch(self, epoch: int, start: int = 0) -> Iterator[StepEvent]:
        """Train, or in the last epochs evolve."""
        if epoch < self._trained:
            yield from super().run_epoch(epoch, start)
            return
        for number in range(self.context.options.population):
            rng = np.random.default_rng([self.context.seed, epoch, number])
            child = (
                self.encoding.draw(rng)
                if epoch == self._trained
                else self.encoding.mutate(self._parent(rng), rng)
            )
            self._scored.append((child, self._score(child)))

    def _parent(self, rng: np.random.Generator) -> Genome:
        """The best of a few of the youngest."""
        o = self.context.options
        alive = self._scored[-o.population :]
        drawn = [
            alive[int(i)]
            for i in rng.choice(len(alive), min(o.tournament, len(alive)), replace=False)
        ]
        return min(drawn, key=lambda pair: pair[1])[0]

    def _score(self, genome: Genome) -> float:
        context = self.context
        self.encoding.set(self.supernet, genome)
        self.samples += context.scored.num_rows
        self.spend("score", context.scored.num_rows)
        loss = score(
            self.supernet,
            context.scored,
            context.schema.tasks,
            device=context.device,
            supernet=True,
        )
        return float(context.ranks.told(loss))  # the same to the bit on all ranks

    def best(self) -> Genome:
        """The best scored; before any is, one drawn from the seed."""
        if not self._scored:
            return self.encoding.draw(np.random.default_rng([self.context.seed, self._trained, 0]))
        return min(self._scored, key=lambda pair: pair[1])[0]

    def evaluated(self) -> nn.Module | None:
        """The supernet on the best path."""
        self.encoding.set(self.supernet, self.best())
        return self.supernet

    def record(self) -> dict[str, Any]:
        """The stepper's record with the best path's choices, and the scores."""
        best = self.best()
        scores = {
            "scored": len(self._scored),
            "best_score": min((loss for _, loss in self._scored), default=None),
        }
        # alpha stays where it began and tells nothing
        of_alpha = alpha_figures(self.encoding.choices(best))
        record = {name: value for name, value in super().record().items() if name not in of_alpha}
        return {
            **record,
            **scores,
            "choices": self.encoding.choices(best),
            "expert_usage": self.encoding.usage(best),
        }

    def derive(self) -> Architecture:
        """The best scored."""
        return self.encoding.architecture(self.best())

    def proposals(self, count: int) -> list[Architecture]:
        """The best scored."""
        ordered = sorted(self._scored, key=lambda pair: pair[1])
        return distinct(
            map(self.encoding.architecture, [self.best(), *(g for g, _ in ordered)]), count
        )

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """Beside each choice the best-scored that differs in it; one supernet decides none."""
        return by_scores(
            self.encoding, self._scored, architecture, f"{ONE_SUPERNET}, each path's score"
        )

    def _likeliest(
        self,
        best: dict[str, str] | None = None,
        chosen: tuple[tuple[int, ...], ...] | None = None,
    ) -> Architecture:
        return self.derive()

    def state_dict(self) -> dict[str, Any]:
        """The training's state and what was scored, oldest first."""
        return {
            **super().state_dict(),
            "scored": [[g.picks, g.chosen, loss] for g, loss in self._scored],
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``."""
        super().load_state_dict(state)
        self._scored = scored_genomes(self.encoding, parse(self.form, state, "strategy").scored)

    def stands_at(self, epoch: int, step: int) -> bool:
        """Whether the epoch has that step, and as many were scored before it as it says."""
        scored = max(0, epoch - self._trained) * self.context.options.population
        return len(self._scored) == scored and (
            super().stands_at(epoch, step) if epoch < self._trained else step == 0
        )


def scored_genomes(encoding: SpaceEncoding, saved: Scored) -> list[tuple[Genome, float]]:
    """Genomes and their scores from a state.

    Raises:
        ArtifactError: one is no genome of the space.
    """
    genomes = [(Genome(picks, chosen), loss) for picks, chosen, loss in saved]
    for i, (genome, _) in enumerate(genomes):
        got = f"{genome.picks}, experts {genome.chosen}"[:120]
        require(encoding.legal(genome), f"strategy, genome {i}", "must be one of the space", got)
    return genomes
