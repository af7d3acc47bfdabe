"""Random draws from a space: one untrained, or several trained briefly within the budget of a
search.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import Decision
from automtl.strategies._evolution import Scored, scored_genomes
from automtl.strategies.decisions import Ground, by_scores, distinct, undecided
from automtl.strategies.encoding import MOST_DRAWS, Genome
from automtl.strategies.ledger import price_of
from automtl.strategies.protocol import SearchContext, Strategy, make_encoding
from automtl.strategies.score import score
from automtl.strategies.standalone import StandAlone
from automtl.training.checkpoint_state import Count, State, parse, require
from automtl.training.loop import StepEvent


class _State(State):
    """State of a random search; the model in training checks its own part."""

    tried: Scored
    samples: Count
    model: Any
    steps: Count


class RandomSearch(Strategy):
    """Draws architectures, trains each for the same share of a budget of rows and keeps the best on
    the A rows.

    An epoch is one draw; all read the same batches in the same order. The budget counts rows that
    are trained on and rows that are scored, and by default is what `darts` with the same settings
    trains on: per epoch the fit rows and as many batches of A rows.

    Raises:
        ConfigError: a draw's share of the budget does not pay for its scoring and a step.
    """

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        settings = context.settings
        self.encoding = make_encoding(context)
        self.epochs = context.options.draws
        self._batch = context.fit.num_rows / len(context.fit)
        darts = settings.epochs * (
            context.fit.num_rows
            + round(len(context.fit) * context.alpha.num_rows / len(context.alpha))
        )
        self.budget = context.options.budget_samples or darts
        if self.budget / self.epochs < context.scored.num_rows + self._batch:
            rule = (
                f"each draw must get at least {context.scored.num_rows + self._batch:.0f} rows of "
                f"the budget of {self.budget}"
            )
            raise ConfigError(
                "search.draws",
                rule,
                self.epochs,
                "lower search.draws, or raise search.budget_samples or search.epochs",
            )
        self._tried: list[tuple[Genome, float]] = []
        self._model: StandAlone | None = None
        self._steps = 0  # of the draw in training; 0 between draws

    def _draw(self, number: int) -> Genome:
        return self.encoding.draw(np.random.default_rng([self.context.seed, number]))

    def run_epoch(self, epoch: int, start: int = 0) -> Iterator[StepEvent]:
        """One draw: train, then score."""
        context = self.context
        if not start:
            target = self.budget * (epoch + 1) / self.epochs - context.scored.num_rows
            self._model, self._steps = (
                self._stand_alone(epoch),
                max(1, round((target - self.samples) / self._batch)),
            )
        assert self._model is not None
        price = price_of(self._model.net, context.schema, rows=round(self._batch))
        for event in self._model.train(
            context.fit.cycle(start), epoch=epoch, steps=self._steps, start=start
        ):
            self.samples += event.rows
            context.ledger.add("train", event.rows, *price)
            yield event
        context.ledger.add("score", context.scored.num_rows, *price)
        loss = score(
            self._model.net,
            context.scored,
            context.schema.tasks,
            device=context.device,
            supernet=False,
        )
        loss = context.ranks.told(loss)  # the same to the bit on all ranks
        self.samples += context.scored.num_rows
        self._tried.append((self._draw(epoch), loss))
        self._steps = 0

    def _stand_alone(self, number: int) -> StandAlone:
        context = self.context
        return StandAlone(
            self.encoding.architecture(self._draw(number)),
            context,
            seed=context.seed,
            lr=context.options.random_lr,
        )

    def evaluated(self) -> nn.Module | None:
        """The last draw's model."""
        return None if self._model is None else self._model.net

    def best(self) -> Genome:
        """The best scored; before any is, the first draw."""
        return min(self._tried, key=lambda pair: pair[1])[0] if self._tried else self._draw(0)

    def record(self) -> dict[str, Any]:
        """The last draw's score, and the choices of the best so far."""
        best = self.best()
        last = self._tried[-1] if self._tried else None
        balancing = {} if self._model is None else self._model.balancer.record()
        return {
            **({"balancing": balancing} if balancing else {}),
            "entropy": 0.0,
            "score": last and last[1],
            "best_score": min((loss for _, loss in self._tried), default=None),
            "drawn": last
            and self.encoding.architecture(last[0]).model_dump(
                mode="json", include={"interaction", "experts", "chosen"}
            ),
            "choices": self.encoding.choices(best),
            "expert_usage": self.encoding.usage(best),
            "decisions": [d.plain for d in self.decisions(self.derive())],
        }

    def derive(self) -> Architecture:
        """The best scored."""
        return self.encoding.architecture(self.best())

    def proposals(self, count: int) -> list[Architecture]:
        """The best scored."""
        ordered = sorted(self._tried, key=lambda pair: pair[1])
        return distinct(
            map(self.encoding.architecture, [self.best(), *(g for g, _ in ordered)]), count
        )

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """Beside each choice the best that differs in it; trainings of a fraction of an epoch, one
        seed each, decide none.
        """
        return by_scores(self.encoding, self._tried, architecture, "one short training each")

    def state_dict(self) -> dict[str, Any]:
        """The draws tried, the rows read, and the draw in training."""
        model = self._model.state_dict() if self._model is not None and self._steps else None
        tried = [[g.picks, g.chosen, loss] for g, loss in self._tried]
        return {"tried": tried, "samples": self.samples, "model": model, "steps": self._steps}

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``."""
        saved = parse(_State, state, "strategy")
        self._tried = scored_genomes(self.encoding, saved.tried)
        self.samples, self._steps = saved.samples, saved.steps
        require(
            saved.steps <= max(1.0, self.budget / self._batch),
            "strategy.steps",
            "must be within the budget",
            saved.steps,
        )
        require(
            (saved.model is None) == (saved.steps == 0),
            "strategy.model",
            "must be there while a draw is trained, and only then",
            "none" if saved.model is None else "one",
        )
        if state["model"] is not None:
            self._model = self._stand_alone(len(self._tried))
            self._model.load_state_dict(state["model"])

    def stands_at(self, epoch: int, step: int) -> bool:
        """Whether as many draws were tried as the epoch says, and the draw in training has that
        step.
        """
        return len(self._tried) == epoch and step <= self._steps


class RandomSampling(Strategy):
    """One draw, taken as it is: the yardstick of every search. Nothing is trained, no row read."""

    trains = False

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        self.encoding = make_encoding(context)
        self.genome = self._draw(0)

    def _draw(self, number: int) -> Genome:
        return self.encoding.draw(np.random.default_rng([self.context.seed, number]))

    def run_epoch(self, epoch: int, start: int = 0) -> Iterator[StepEvent]:
        """Nothing to do."""
        yield from ()

    def record(self) -> dict[str, Any]:
        """The draw."""
        return {
            "entropy": 0.0,
            "choices": self.encoding.choices(self.genome),
            "expert_usage": self.encoding.usage(self.genome),
        }

    def derive(self) -> Architecture:
        """The draw."""
        return self.encoding.architecture(self.genome)

    def proposals(self, count: int) -> list[Architecture]:
        """The draw, and further ones."""
        genomes = map(self._draw, range(MOST_DRAWS))
        return distinct(map(self.encoding.architecture, genomes), count)

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """A draw rests on nothing."""
        return undecided(self.encoding, architecture, lambda *_: Ground(None, "drawn at random"))


def random_search(context: SearchContext) -> Strategy:
    """Random search. Before a race it only draws: the race trains what it drew."""
    return (RandomSampling if context.options.selection == "race" else RandomSearch)(context)
