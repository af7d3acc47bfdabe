"""Put a run's best architecture into derived_archs/, with where it comes from; `git add` and a
commit make it shipped.

    python scripts/promote.py runs/compare/darts --tag darts
    python scripts/promote.py runs/a runs/b runs/c --tag best          # of several searches the best by validation, and said so

The file is derived_archs/<space>__<dataset>__<tag>.json. Its provenance tells the hashes of data
and split, the seeds of search and retrains, the scores (mean and standard deviation over retrain
seeds; test scores where the run was evaluated, and they chose nothing), what the search decided, and
what search, retrains and the model cost.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automtl import Architecture, files
from automtl.errors import ArtifactError, counted
from automtl.phases.finished.compare import LOSS, compare
from automtl.phases.finished.entries import Entry
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir

FOLDER = Path(__file__).parents[1] / "derived_archs"


def best(runs: Sequence[Path]) -> tuple[RunDir, Entry]:
    """The searched run with the least validation loss over its own sharing's retrains."""
    found = [
        (RunDir(run), entry)
        for run in runs
        for entry in compare([run]).entries
        if not entry.hand_made
    ]
    if not found:
        raise ArtifactError(
            ", ".join(map(str, runs)), "must hold a searched and retrained run", "none"
        )
    return min(found, key=lambda pair: pair[1].mean("validation", LOSS) or float("inf"))


def scores(entry: Entry) -> dict[str, Any]:
    """Per split and metric the mean and standard deviation over seeds."""
    return {
        split: {m: {"mean": entry.mean(split, m), "sd": entry.sd(split, m)} for m in by}
        for split, by in entry.figures.items()
        if by
    }


def provenance(run: RunDir, entry: Entry, tried: int) -> dict[str, Any]:
    """Where the architecture comes from, and what its search decided."""
    manifest = Manifest.read(run.search.manifest).values
    retrains = [
        folder
        for folder in run.retrains()
        if folder.path.name.rpartition("-s")[0] == entry.label and folder.results.exists()
    ]
    seeds = sorted(entry.figures["validation"][LOSS])
    chosen = f"best of {tried} searches by validation MTL-Loss" if tried > 1 else "the only search"
    return {
        "source": f"searched on {manifest['data']['name']} by "
        f"{entry.method.split(',')[0]}, {chosen}; "
        f"retrained with {counted(len(seeds), 'seed')}",
        "dataset": manifest["data"]["name"],
        "data_hash": manifest["data"]["hash"],
        "split_hash": manifest["data"]["split_hash"],
        "search_seed": manifest["seed"],
        "retrain_seeds": seeds,
        "chosen": chosen,
        "method": entry.method,
        **{name: manifest[name] for name in ("decisions", "race") if name in manifest},
        "versions": manifest.get("versions"),
        "git_revision": manifest.get("git_revision"),
        "scores": scores(entry),
        "cost": {**entry.cost, "model": files.read_json(retrains[0].cost)["model"]},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="searched and retrained runs of one space and data set"
    )
    parser.add_argument("--tag", required=True)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args(arguments)
    run, entry = best(args.runs)
    found = Architecture.load(run.search.architecture)
    told = provenance(run, entry, len(args.runs))
    path = args.folder / f"{found.name}__{told['dataset']}__{args.tag}.json"
    if path.exists():
        raise ArtifactError(
            path, "must not exist yet", "an existing one", "choose another --tag, or remove it"
        )
    found.evolve(name=path.stem, provenance=told).save(path)
    print(
        f"wrote {path}: {told['chosen']}, validation MTL-Loss {entry.mean('validation', LOSS):.5f}"
    )


if __name__ == "__main__":
    main()
