"""The bits of a search, a retrain of each kind, a resume after a kill and an export, as checksums:
a move of code changes none of them.

    python scripts/same_bits.py --out before.json        # at one commit
    python scripts/same_bits.py --against before.json    # at another: exit status 1 where anything differs

Weights are compared array by array, by name and content, so that the form of the files may change;
one thread, fixed seeds, 600 rows.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file
from small import SPACE, flags, write_dataset

from automtl.spaces.architecture import Architecture

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (
    *SPACE,
    "search.strategy=darts",
    "search.selection=argmax",
    "search.batch_size=64",
    "search.epochs=3",
    "search.warmup_epochs=1",
    "retrain.batch_size=64",
    "retrain.epochs=8",
)
STRATEGIES = ("darts", "snas", "gdas", "evolution", "random_search")
SMALL_STRATEGY = {
    "evolution": ("search.population=4", "search.generations=2"),
    "random_search": ("search.draws=3",),
}
COMMAND = str(Path(sys.executable).with_name("automtl"))


def automtl(*words: str) -> None:
    """One command, to its end."""
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"{' '.join(words)}: status "
            f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )


def settings(
    *more: str, only: tuple[str, ...] = ("space.", "search.", "retrain.", "runtime.")
) -> list[str]:
    """--set flags of one command."""
    return flags(
        [item for item in (*SETTINGS, *more, "runtime.threads=1") if item.startswith(only)]
    )


def arrays(path: Path) -> str:
    """SHA-256 of all arrays of a safetensors file, by name."""
    total = hashlib.sha256()
    for name, array in sorted(load_file(path).items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def weights(run: Path) -> str:
    """The best weights of a retrain, every part of it."""
    paths = sorted(run.rglob("retrain/*/checkpoint/*.safetensors"))
    return text_hash(" ".join(map(arrays, paths)))


def killed_and_resumed(words: list[str], run: Path) -> None:
    """The command, killed once its first checkpoint is there, then resumed."""
    process = subprocess.Popen(
        [COMMAND, *words], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not list(run.rglob("checkpoint/*.safetensors")):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    automtl(*words, "--resume")


def text_hash(text: str) -> str:
    """The first 16 digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def predictions(path: Path) -> str:
    """SHA-256 of a Parquet file's columns."""
    return text_hash(pd.read_parquet(path).to_csv(index=False))


def measured(folder: Path, kinds: list[str]) -> dict[str, str]:
    """What was made -> checksum."""
    data = write_dataset(folder)
    rows = str(data.with_name("rows.csv"))
    bits: dict[str, str] = {}
    for strategy in STRATEGIES:
        run = folder / f"search-{strategy}"
        more = (f"search.strategy={strategy}", *SMALL_STRATEGY.get(strategy, ()))
        searched = settings(*more, only=("space.", "search.", "runtime."))
        automtl("search", str(data), "--space", "automtl_small", "--out", str(run), *searched)
        bits[f"search {strategy}"] = text_hash(
            Architecture.load(run / "search" / "architecture.json").identity()
        )
        automtl("retrain", str(run), *settings(only=("retrain.", "runtime.")))
        bits[f"retrain of search {strategy}"] = weights(run)
    for kind in kinds:
        run = folder / f"kind-{kind}"
        automtl(
            "retrain",
            kind,
            "--data",
            str(data),
            "--out",
            str(run),
            *settings(only=("retrain.", "runtime.")),
        )
        bits[f"retrain {kind}"] = weights(run)
        automtl("predict", str(run), rows, "-o", str(run / "p.parquet"))
        bits[f"predict {kind}"] = predictions(run / "p.parquet")
    run = folder / "resumed"
    killed_and_resumed(
        [
            "retrain",
            "mmoe",
            "--data",
            str(data),
            "--out",
            str(run),
            *settings(only=("retrain.", "runtime.")),
        ],
        run,
    )
    bits["retrain mmoe, killed and resumed"] = weights(run)
    automtl("export", str(folder / "kind-mmoe"), "--format", "onnx", "-o", str(folder / "served"))
    automtl("predict", str(folder / "served"), rows, "-o", str(folder / "served.parquet"))
    bits["export mmoe, onnx"] = predictions(folder / "served.parquet")
    return bits


def main() -> None:
    """Measure, write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the checksums here")
    parser.add_argument("--against", type=Path, help="compare with the checksums of another commit")
    given = parser.parse_args()
    kinds = sorted(path.stem for path in (ROOT / "derived_archs" / "baselines").glob("*.json"))
    with tempfile.TemporaryDirectory() as folder:
        bits = measured(Path(folder), kinds)
    if given.out:
        given.out.write_text(json.dumps(bits, indent=1) + "\n")
    before = json.loads(given.against.read_text()) if given.against else {}
    for name, value in bits.items():
        print(
            f"{name:45} {value}  "
            f"{'' if not before else 'same' if before.get(name) == value else f'WAS {before.get(name)}'}"
        )
    sys.exit(any(before.get(name) != value for name, value in bits.items()) if before else 0)


if __name__ == "__main__":
    main()
