"""Train supernets and let each score the architectures of a table: the scores that
`scripts/judge_strategies.py` judges. What is tried, fixed here before any of these runs.

    python scripts/score_supernets.py TABLE --data movielens_100k --out scored
    python scripts/score_supernets.py TABLE --data movielens_100k --out scored --supernets "darts;snas" --seeds 0
    python scripts/judge_strategies.py TABLE --scores scored/scores.jsonl

TABLE is a shipped table's name, a Parquet file of `automtl benchmark`, or the plan.json of a table in the
making; of it the architectures and the settings are read, no loss. A supernet trains on the table's fit rows in batches of the same size
for as many epochs, moves alpha on A rows, and scores on the table's A rows. Supernets (SUPERNETS):

  darts        as shipped, the paper's: all candidates mixed, alpha moving from the first step.
  weights      the same with alpha held still: what does a moving alpha do to the weights?
  lazy_adam    weights with the tables by LazyAdam: SGD moves the vectors of rare ids little.
  snas, gdas   relaxed samples; one sampled candidate of each block.
  path         one drawn path a step (Guo et al. 2020), no alpha.
  fair path    every candidate of a block equally often: each block goes through its candidates in a
               drawn order before one comes again (after FairNAS, arXiv 1907.01845, whose weights move
               once for all of them; here they move at each).
  fair adam    fair path with the tables by LazyAdam, for three times the epochs.

Scores, less being better, each a strategy of its own for the judge:

  loss         MTL-Loss of the architecture's path on A rows, BatchNorm by the batch's own statistics.
  tuned        the same after TUNE_STEPS steps of Adam 1e-3 on fit rows for the last layers only, the
               towers and beta (NASRec, arXiv 2207.07187); then they are put back.
  belief       of those that move alpha: - sum of log softmax(alpha), - sum of log softmax(beta).

Rule: rule 2 of `scripts/judge_strategies.py`, on the open architectures, three supernet seeds each.
Where several pass, the one of the highest mean of both taus is judged once on the sealed ones. One
that passes there too is what the race's candidates come from by default; where none passes, the
default stays evenly drawn, and the docs say so.

Each supernet is a line of OUT/scores.jsonl for each of its scores, and is not run again.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from automtl.benchmarks import load
from automtl.config import resolve
from automtl.data.spec.dataset import load_dataset
from automtl.errors import AutoMTLError, DataError
from automtl.models.supernet import Supernet
from automtl.phases.benchmark._plan import read_plan
from automtl.phases.benchmark._rows import TableRows
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.run.opening import open_session
from automtl.phases.search.context import make_context
from automtl.spaces.architecture import Architecture
from automtl.strategies._evolution import SinglePath
from automtl.strategies._supernet_search import SupernetSearch
from automtl.strategies.encoding import Genome, SpaceEncoding
from automtl.strategies.protocol import SearchContext, make_encoding
from automtl.strategies.registry import STRATEGIES
from automtl.strategies.score import score
from automtl.strict import build
from automtl.training.losses import multi_task_loss

SEEDS, TUNE_STEPS, TUNE_LR = (0, 1, 2), 40, 1e-3
STILL = "search.alpha_lr=1e-12"
ADAM = "search.embedding_optimizer=lazy_adam"


class FairPath(SinglePath):
    """A drawn path a step, in which no candidate of a block comes again before all others came."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._waiting: dict[str, list[int]] = {}
        self._rng = np.random.default_rng(
            int(torch.randint(2**62, (1,), generator=self._generator))
        )

    def draw(self, rng: np.random.Generator) -> Genome:
        """The next candidate of every block, and drawn experts."""
        picks = [0] * len(self.encoding.names)
        for name, numbers in self.encoding.groups().items():
            waiting = self._waiting.get(name)
            if not waiting:
                waiting = self._rng.permutation(len(self.encoding.operations(name))).tolist()
                self._waiting[name] = waiting
            pick = waiting.pop()
            for number in numbers:
                picks[number] = pick
        return Genome(tuple(picks), self.encoding.draw(rng).chosen)


@dataclass(frozen=True)
class Kind:
    """A supernet to try.

    Args:
        strategy: that trains it; for paths the class of its steps.
        sets: settings beside the table's.
        longer: how many times the table's epochs.
    """

    strategy: str | type[SinglePath]
    sets: tuple[str, ...] = ()
    longer: int = 1

    @property
    def believes(self) -> bool:
        """Whether its alphas say something."""
        return isinstance(self.strategy, str) and STILL not in self.sets


SUPERNETS = {
    "darts": Kind("darts"),
    "weights": Kind("darts", (STILL,)),
    "lazy_adam": Kind("darts", (STILL, ADAM)),
    "snas": Kind("snas"),
    "gdas": Kind("gdas"),
    "path": Kind(SinglePath),
    "fair path": Kind(FairPath),
    "fair adam": Kind(FairPath, (ADAM,), longer=3),
}


@dataclass
class Table:
    """What is read of a table.

    Attributes:
        data: the data set's name or file.
        settings: of its plan.
        batch_size: of its trainings.
        definitions: by architecture, in the file's order.
    """

    data: str
    settings: TableSettings
    batch_size: int
    definitions: dict[str, str] = field(default_factory=dict)


def read_table(name: str, data: str) -> Table:
    """The architectures of a table, sealed ones too, and how they were trained; no loss."""
    if name.endswith(".json"):
        plan = read_plan(Path(name))
        about = plan.model_dump(mode="json", include={"data", "training", "settings"})
        drawn = [entry for entry in plan.entries if entry.kind == "drawn"]
        definitions = {entry.id: json.dumps(entry.definition) for entry in drawn}
    else:
        frame = load(name, sealed=True)
        about, frame = frame.attrs, frame[frame["kind"] == "drawn"]
        definitions = dict(zip(frame["architecture"], frame["definition"], strict=True))
    if about["data"] != (own := load_dataset(data).name):
        raise DataError(name, f"must be of the data set {own}", about["data"])
    settings = build(TableSettings, about["settings"], name)
    return Table(data, settings, about["training"]["retrain"]["batch_size"], definitions)


def table_context(
    table: Table, kind: Kind, seed: int, space: str, data_dir: Path | None
) -> SearchContext:
    """A search's context on a table's rows: fit rows train, its A rows score."""
    epochs = table.settings.epochs * kind.longer
    strategy = kind.strategy if isinstance(kind.strategy, str) else "evolution"
    sets = (
        f"search.strategy={strategy}",
        "search.selection=argmax",
        f"search.epochs={epochs}",
        f"search.warmup_epochs={max(1, epochs // 3)}",
        f"search.batch_size={table.batch_size}",
        f"retrain.batch_size={table.batch_size}",
        *kind.sets,
    )
    flags = {"runtime": {"threads": 1, "device": "cpu"}, "seed": seed}
    if data_dir is not None:
        flags["data"] = {"dir": str(data_dir)}
    config = resolve(source=table.data, space=space, sets=sets, flags=flags)
    session = open_session(config)
    rows = TableRows(session, table.settings)
    assert config.space is not None
    context = make_context(session, config.space, session.dropout_generator())
    return replace(context, fit=rows.training(session.seeds.fit), scored=rows.judging("a"))


def train(context: SearchContext, kind: Kind) -> Supernet:
    """A supernet at the end of its epochs."""
    if isinstance(kind.strategy, str):
        strategy: Any = STRATEGIES[kind.strategy](context)
    else:
        net = context.make_supernet()
        stepper = kind.strategy(
            net,
            context.schema,
            context.settings,
            encoding=make_encoding(context, net),
            generator=context.generator,
            autocast=context.autocast,
            guard=context.guard,
        )
        strategy = SupernetSearch(context, stepper)
    for epoch in range(strategy.epochs):
        for _ in strategy.run_epoch(epoch):
            pass
    return strategy.supernet  # type: ignore[no-any-return]


def genomes(table: Table, encoding: SpaceEncoding) -> dict[str, Genome]:
    """The table's architectures as choices of the space."""
    return {
        name: encoding.genome(Architecture.model_validate_json(text))
        for name, text in table.definitions.items()
    }


def path_losses(
    net: Supernet, context: SearchContext, encoding: SpaceEncoding, of: Mapping[str, Genome]
) -> dict[str, float]:
    """The score `loss`."""
    losses = {}
    for name, genome in of.items():
        encoding.set(net, genome)
        losses[name] = score(net, context.scored, context.schema.tasks, supernet=True)
    return losses


def tuned_losses(
    net: Supernet, context: SearchContext, encoding: SpaceEncoding, of: Mapping[str, Genome]
) -> dict[str, float]:
    """The score `tuned`: each starts from the same weights and sees the same rows."""
    last = [*net.towers.parameters(), *net.beta_parameters()]
    before = [parameter.detach().clone() for parameter in last]
    losses = {}
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for parameter in last:
        parameter.requires_grad_(True)
    for name, genome in of.items():
        encoding.set(net, genome)
        tune(net, context, last)
        losses[name] = score(net, context.scored, context.schema.tasks, supernet=True)
        with torch.no_grad():
            for parameter, old in zip(last, before, strict=True):
                parameter.copy_(old)
    return losses


def tune(net: Supernet, context: SearchContext, last: Sequence[nn.Parameter]) -> None:
    """Some steps of the last layers on fit rows."""
    adam = torch.optim.Adam(last, lr=TUNE_LR)
    net.train()
    for _, batch in zip(range(TUNE_STEPS), context.fit.cycle(), strict=False):
        losses = multi_task_loss(
            context.schema.tasks, net(batch.inputs), batch.labels, batch.weights
        )
        losses.total.backward()  # type: ignore[no-untyped-call]
        adam.step()
        adam.zero_grad()


def beliefs(net: Supernet, encoding: SpaceEncoding, of: Mapping[str, Genome]) -> dict[str, float]:
    """The score `belief`."""
    alphas = {name: net.alphas[name].detach().double().log_softmax(0) for name in encoding.groups()}
    betas = net.beta_parameters()
    experts = betas[0].detach().double().log_softmax(1) if betas else None
    scores = {}
    for name, genome in of.items():
        numbers = {block: group[0] for block, group in encoding.groups().items()}
        total = sum(float(alphas[block][genome.picks[i]]) for block, i in numbers.items())
        if experts is not None and genome.chosen is not None:
            total += sum(float(experts[t, list(e)].sum()) for t, e in enumerate(genome.chosen))
        scores[name] = -total
    return scores


def scored(net: Supernet, context: SearchContext, kind: Kind, table: Table) -> dict[str, Any]:
    """A supernet's scores by their names."""
    encoding = make_encoding(context, net)
    of = genomes(table, encoding)
    scores = {"loss": path_losses(net, context, encoding, of)}
    if kind.believes:
        scores["belief"] = beliefs(net, encoding, of)
    return scores | {"tuned": tuned_losses(net, context, encoding, of)}


def known(path: Path) -> set[tuple[str, int]]:
    """The supernets and seeds whose lines are there."""
    if not path.exists():
        return set()
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {(line["strategy"].split(": ")[0], line["seed"]) for line in lines}


def lines_of(args: argparse.Namespace, table: Table, name: str, seed: int) -> Iterator[str]:
    """Train a supernet; a line for each of its scores."""
    kind, begun = SUPERNETS[name], time.process_time()
    context = table_context(table, kind, seed, args.space, args.data_dir)
    net = train(context, kind)
    trained = time.process_time() - begun
    for score_name, scores in scored(net, context, kind, table).items():
        line = {"strategy": f"{name}: {score_name}", "seed": seed, "cpu_seconds": trained}
        yield json.dumps({**line, "scores": scores}) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", help="a shipped table's name, a Parquet file, or a plan.json")
    parser.add_argument("--data", required=True, help="the table's data set")
    parser.add_argument("--space", default="automtl_small", help="the space it was drawn from")
    parser.add_argument("--out", type=Path, required=True, help="folder of scores.jsonl")
    parser.add_argument("--supernets", default=";".join(SUPERNETS), help="which, by ';'")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="which, by ','")
    parser.add_argument("--data-dir", type=Path, help="folder of raw and prepared data")
    args = parser.parse_args(arguments)
    names = args.supernets.split(";")
    if unknown := [name for name in names if name not in SUPERNETS]:
        raise SystemExit(f"--supernets: {unknown[0]!r} is none of {', '.join(SUPERNETS)}")
    table = read_table(args.table, args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "scores.jsonl"
    for seed in map(int, args.seeds.split(",")):
        for name in names:
            if (name, seed) in known(path):
                continue
            print(f"{name}, seed {seed} ...", flush=True)
            lines = "".join(lines_of(args, table, name, seed))
            with path.open("a", encoding="utf-8") as out:
                out.write(lines)


if __name__ == "__main__":
    try:
        main()
    except AutoMTLError as error:
        raise SystemExit(str(error)) from error
