"""Comparisons of several searches of one method: the best one is marked, and their average is a
model of its own.
"""

from collections.abc import Sequence
from dataclasses import replace

from automtl.phases.finished.entries import COMPUTED, SEARCHES, Entry
from automtl.runs.constant import LOSS


def with_averages(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, and an average for each method that several of them come from."""
    done = list(entries)
    for method in dict.fromkeys(e.method for e in entries if e.method):
        group = [e for e in entries if e.method == method]
        if len(group) < 2:
            continue
        best = min(
            group, key=lambda e: (e.mean("validation", LOSS) is None, e.mean("validation", LOSS))
        )
        done[done.index(best)] = replace(
            best, marks=(f"best of {len(group)} searches by validation",)
        )
        done.append(_average(method.rpartition(",")[0], group))
    return done


def _average(name: str, group: Sequence[Entry]) -> Entry:
    """The average search of this method: of each search one figure, its mean over retrain seeds.

    Retrains of one architecture are no replication of a search.
    """
    figures: dict[str, dict[str, dict[int, float]]] = {}
    for split in ("validation", "test"):
        figures[split] = {}
        for metric in dict.fromkeys(m for e in group for m in e.figures[split]):
            means = [e.mean(split, metric) for e in group]
            known = [mean for mean in means if mean is not None]
            if len(known) == len(group):
                figures[split][metric] = dict(zip(_numbers(group), known, strict=True))
    cost = {
        part: {
            what: sum(e.cost[part][what] for e in group)
            for what in ("samples", "seconds", *COMPUTED)
            if all(what in e.cost[part] for e in group)
        }
        for part in group[0].cost
    }
    return Entry(
        name=f"{name} (mean over {len(group)} searches)",
        label=group[0].label,
        hand_made=False,
        method="",
        figures=figures,
        cost=cost,
        marks=(f"mean over {len(group)} searches",),
        search_seeds=tuple(s for e in group for s in e.search_seeds),
        derived=tuple(architecture for e in group for architecture in e.derived),
        unit=SEARCHES,
    )


def _numbers(group: Sequence[Entry]) -> list[int]:
    """The searches' seeds; where two have the same, their places."""
    seeds = [e.search_seeds[0] for e in group]
    return seeds if len(set(seeds)) == len(seeds) else list(range(len(seeds)))
