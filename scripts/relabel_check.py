"""Which tasks share experts, after one supernet: do the experts belong to the task, or to its place
in the list of tasks?

    python scripts/relabel_check.py census_income --space automtl_small --out relabelled
    python scripts/relabel_check.py clicks.yaml --set search.epochs=6 --out relabelled --seeds 0,1,2,3,4,5,6,7

Per seed searches twice with the paper's method (`darts`, `argmax`) and the same seed, the second time with the
tasks in reverse order, and compares what each took. Experts that stay with the place although
another task stands there were set by the start and L_JSD; experts that go with the task were set by
the data. Places and tasks whose experts are the same in both readings tell nothing and are not
counted. The tasks of one search depend on each other, so that a seed counts once: for the place or
for the task, whichever kept the experts of more. The interval is over seeds (Clopper and Pearson
1934); fewer than six can never tell. A search that is there already in OUT is not run again.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import binomtest

import automtl
from automtl.config import parse_set
from automtl.data.prepare import placed
from automtl.data.spec.dataset import default_data_dir, load_dataset
from automtl.errors import AutoMTLError, ConfigError, counted
from automtl.spaces.architecture import Architecture

PAPER = {"strategy": "darts", "selection": "argmax"}
LEAST_SEEDS = 6  # of which all must say the same until the 95% interval leaves out one half
LEVEL = 0.95


@dataclass(frozen=True)
class Relabelled:
    """The experts of the tasks in both orders.

    Args:
        first: per place of a task, as declared, its experts.
        second: likewise with the tasks in reverse order.
    """

    first: tuple[tuple[int, ...], ...]
    second: tuple[tuple[int, ...], ...]

    @property
    def telling(self) -> list[tuple[bool, bool]]:
        """Per task whether its experts are those of its place, and those of the task, in the other
        order; without the tasks for which the two are the same question.
        """
        answers = []
        for place, experts in enumerate(self.first):
            of_place, of_task = self.second[place], self.second[-1 - place]
            if of_place != of_task:
                answers.append((experts == of_place, experts == of_task))
        return answers


@dataclass(frozen=True)
class Verdict:
    """What all searches say.

    Args:
        seeds: in how many the place, or the task, kept the experts of more tasks than the other.
        place: in how many of them the place did.
    """

    seeds: int
    place: int

    @classmethod
    def of(cls, by_seed: Sequence[Sequence[tuple[bool, bool]]]) -> "Verdict":
        """From each seed's `Relabelled.telling`."""
        leads = [sum(place - task for place, task in answers) for answers in by_seed]
        return cls(sum(lead != 0 for lead in leads), sum(lead > 0 for lead in leads))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share of searches in which the place did: exact, 95%."""
        if not self.seeds:
            return 0.0, 1.0
        ends = binomtest(self.place, self.seeds).proportion_ci(LEVEL, method="exact")
        return float(ends.low), float(ends.high)

    @property
    def words(self) -> str:
        """The answer in one sentence."""
        low, high = self.interval
        share = (
            f"the place kept more in {self.place} of {counted(self.seeds, 'seed')} "
            f"({LEVEL:.0%} interval {low:.0%} to {high:.0%}), the task in the others"
        )
        if low > 0.5:
            return f"set by the start and L_JSD: {share}"
        if high < 0.5:
            return f"set by the data: {share}"
        return (
            f"not told apart: {share}; it takes at least {LEAST_SEEDS} seeds, give more (--seeds)"
        )


def seeds_of(text: str) -> list[int]:
    """The seeds that `--seeds` names, each once: a search that is counted twice is no evidence."""
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words) or len({*map(int, words)}) < len(words):
        rule = "must be different whole numbers, separated by commas"
        raise ConfigError("--seeds", rule, text, "for example 0,1,2,3,4,5")
    return [int(word) for word in words]


def reordered(data: str, out: Path) -> str:
    """The data set with its tasks in reverse order, as a file in a folder."""
    config = load_dataset(data)
    if not Path(data).is_file():  # a shipped one, whose files lie in the folder of all data
        config = placed(config, default_data_dir())
    described = config.model_dump(mode="json", exclude_defaults=True)
    if len(described["tasks"]) < 2:
        raise ConfigError(data, "must have two tasks or more", "one task")
    described["tasks"] = described["tasks"][::-1]
    return str(kept(out / "reordered.yaml", described, "data set"))


def kept(path: Path, content: Any, what: str) -> Path:
    """Write a file of the folder of searches, or see that it is the same: searches of other data or
    other settings are not counted together.
    """
    text = yaml.safe_dump(content, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        rule = f"must hold searches of this {what}"
        raise ConfigError(str(path.parent), rule, f"{path.name} of others", "name a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def searched(data: str, run: Path, seed: int, given: dict[str, Any]) -> Architecture:
    """What a search found, of those that choose experts per task."""
    found = run / "search" / "architecture.json"
    if not found.exists():
        search = PAPER | given.pop("search", {})
        automtl.search(data, out=run, seed=seed, resume=run.exists(), search=search, **given)
    architecture = Architecture.load(found)
    if architecture.chosen is None or len(architecture.experts) == len(architecture.chosen[0]):
        raise ConfigError(str(run), "must choose experts per task", architecture.sharing.kind)
    return architecture


def main(words: Sequence[str] | None = None) -> None:
    """Search in both orders and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a shipped data set, or the path of a YAML file")
    parser.add_argument("--space", default="automtl_small")
    parser.add_argument("--out", type=Path, required=True, help="folder of the searches")
    parser.add_argument(
        "--seeds",
        default=",".join(map(str, range(LEAST_SEEDS))),
        help=f"each is two searches; fewer than {LEAST_SEEDS} can never tell (default: %(default)s)",
    )
    parser.add_argument("--set", action="append", default=[], help="a setting of the search")
    given = parser.parse_args(words)
    settings: dict[str, Any] = {"space": {"base": given.space}}
    for item in given.set:
        for section, values in parse_set(item).items():
            settings[section] = settings.get(section, {}) | values
    seeds = seeds_of(given.seeds)
    other = reordered(given.data, given.out)
    kept(given.out / "settings.yaml", settings, "space and these settings")
    by_seed, chance = list[list[tuple[bool, bool]]](), 0.0
    for seed in seeds:
        first, second = (
            searched(data, given.out / f"{name}-{seed}", seed, dict(settings))
            for data, name in ((given.data, "declared"), (other, "reversed"))
        )
        by_seed.append(Relabelled(first.chosen or (), second.chosen or ()).telling)
        chance = 1 / comb(len(first.experts), len((first.chosen or ())[0]))
        print(f"seed {seed}: as declared {first.chosen}, in reverse order {second.chosen}")
    answers, verdict = [answer for own in by_seed for answer in own], Verdict.of(by_seed)
    if not answers:
        print("nothing can be told: the experts are the same in whatever order they are read")
        return
    place, task = (sum(answer[i] for answer in answers) for i in (0, 1))
    print(
        f"of {counted(len(answers), 'reading')} of a task that can tell, {place} kept the experts of their place, "
        f"{task} their own; by chance {len(answers) * chance:.1f} of each"
    )
    print(verdict.words)
    told = {"tell": len(answers), "place": place, "task": task, "chance": chance}
    of_seeds = {"seeds": verdict.seeds, "place": verdict.place, "interval": verdict.interval}
    (given.out / "relabelled.json").write_text(json.dumps({**told, "by_seed": of_seeds}) + "\n")


if __name__ == "__main__":
    try:
        main()
    except AutoMTLError as error:
        raise SystemExit(f"error: {error}") from None
