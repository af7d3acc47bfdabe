"""A run's data: its snapshot, later edits of the data set's YAML, and the prepared rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automtl.bounds import fitting
from automtl.config_layers import Recommendation, of_dataset
from automtl.data.prepare import placed, prepare, prepared
from automtl.data.raw.sources import find_sources
from automtl.data.spec.dataset import DatasetConfig, load_dataset
from automtl.data.store import Store
from automtl.data.store.encoding import MANIFEST, Encoding
from automtl.data.store.snapshot import Snapshot, keep
from automtl.errors import ArtifactError, ConfigError, DataError, EnvironmentFault, counted
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir

Say = Callable[[str], None]
_SHOWN = 6


def snapshot_of(folder: PhaseDir) -> Snapshot:
    """The snapshot that a phase was begun with.

    Raises:
        ArtifactError: a file of it is damaged or absent, or the phase is of an automtl that kept
            none.
    """
    manifest = Manifest.read(folder.manifest)
    name = manifest.values["data"].get("snapshot")
    if not isinstance(name, str):
        fix = "use that version, or train anew; `automtl show` and `report` work"
        raise ArtifactError(
            folder.path,
            "must be of a run that keeps its data set",
            f"one made by {manifest.maker}",
            fix,
        )
    path = folder.snapshot(name)
    if not path.is_dir():
        fix = "bring the whole folder of the run"
        raise ArtifactError(
            path, f"must lie in the run's folder, as {folder.manifest} says", "no such folder", fix
        )
    return Snapshot.open(path)


def kept_advice(folder: PhaseDir) -> list[Recommendation] | None:
    """The recommendations of a phase's data set as it began; None where it has not begun, so that
    the YAML is asked.
    """
    if not folder.manifest.exists():
        return None
    snapshot = snapshot_of(folder)
    return [of_dataset(snapshot.config, snapshot.path)]


def same_source(own: str, asked: str) -> bool:
    """Whether a run's data set is the one asked for, whose file may be gone by now."""
    return own in (asked, str(Path(asked).absolute()))


def keep_data(
    folder: PhaseDir, store: Encoding, config: DatasetConfig, *, most_bytes: int, say: Say
) -> str:
    """Keep the data set that a phase begins with in its run's folder; the snapshot's name."""
    snapshot = keep(store, config, folder.snapshots, most_bytes=most_bytes)
    for table in dict.fromkeys(snapshot.left_out.values()):
        columns = ", ".join(name for name, other in snapshot.left_out.items() if other == table)
        say(
            f"{table} is too large to be kept in the run (data.keep_side_tables): rows to "
            f"predict on must bring {columns}"
        )
    return snapshot.path.name


def tell_edits(snapshot: Snapshot, source: str, say: Say) -> None:
    """Say where the data set's YAML, if it is there, differs from the run's own settings."""
    if not Path(source).is_file() and Path(source).suffix:
        return
    try:
        now = load_dataset(source)
    except ConfigError as error:
        say(f"the data set's YAML cannot be read any more ({error}); the run's own is used")
        return
    if changes := list(_changes(_plain(snapshot.config), _plain(now))):
        more = f", and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        say(
            f"the data set's YAML differs from the run's: {', '.join(changes[:_SHOWN])}{more}; "
            "the run's own is used"
        )


def _plain(config: DatasetConfig) -> dict[str, Any]:
    return dict(_flat(config.model_dump(mode="json")))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their paths; what has a name is found by it, not by its place."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(item, dict) and "name" in item for item in value)
    ):
        value = {item["name"]: item for item in value}
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, item in value.items():
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for path in dict.fromkeys([*then, *now]):
        if path not in now or path not in then:
            yield f"{path} is {'new' if path in now else 'gone'}"
        elif then[path] != now[path]:
            yield f"{path} is {_word(now[path])}, was {_word(then[path])}"


def _word(value: Any) -> str:
    return "none" if value is None else str(value)


def rows_at_hand(encoding: Encoding, data_dir: Path) -> Store | None:
    """The prepared rows where they lie ready; None where they would have to be prepared first, or
    are gone.
    """
    if isinstance(encoding, Store):
        return encoding
    try:
        store = prepared(encoding.key, data_dir)
    except EnvironmentFault:
        return None
    return store if store is not None and store.schema == encoding.schema else None


def rows_of(encoding: Encoding, data_dir: Path, say: Say) -> Store:
    """The prepared rows that a run was made of, by its own settings.

    Args:
        encoding: a store, or a run's snapshot.
        data_dir: where raw and prepared data are kept.
        say: told what goes on.

    Raises:
        ArtifactError: they are not there, or they changed since; the message says what did.
    """
    if isinstance(encoding, Store):
        return encoding
    assert isinstance(encoding, Snapshot), "rows are a store's, or a run's"
    snapshot = encoding
    try:
        find_sources(placed(snapshot.config, data_dir))
    except DataError as absent:  # the files are gone, but what was prepared of them may be there
        if (store := prepared(snapshot.key, data_dir)) is None:
            got = f"none at {absent.where} and no store {snapshot.key} in {data_dir / 'prepared'}"
            fix = "bring them back; `automtl predict` and `export` need none"
            raise ArtifactError(
                snapshot.path, "must find the rows that the run was made of", got, fix
            ) from absent
    else:
        store = prepare(snapshot.config, data_dir=data_dir, progress=say)
    then, now = snapshot.schema, store.schema
    if then.data_hash == now.data_hash and then.split_hash == now.split_hash:
        return store
    with fitting(snapshot.path / MANIFEST):
        got = f"data that changed since: {_difference(snapshot, store)}"
    fix = (
        "restore the files; to train on the rows as they are, begin another run of the data set's "
        "own file, in another --out"
    )
    raise ArtifactError(snapshot.path, "must be of the same prepared data", got, fix)


def _difference(then: Encoding, now: Encoding) -> str:
    """The differences in the raw files, or in the rows made of them."""
    parts = list(_files(then.sources, now.sources))
    counts = [sum(one.summary["rows"].values()) for one in (then, now)]
    parts += [f"{counted(counts[1], 'row')}, then {counts[0]:,}"] if counts[0] != counts[1] else []
    if then.schema.data_hash == now.schema.data_hash:
        return "; ".join([*parts, "the same rows, split otherwise"])
    return "; ".join(parts) or "other rows of the same files"


def _files(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    before, after = ({str(source["path"]): source for source in sources} for sources in (then, now))
    if sorted(s["sha256"] for s in then) == sorted(s["sha256"] for s in now):
        return
    for path in dict.fromkeys([*before, *after]):
        name = Path(path).name
        if path not in before or path not in after:
            yield f"{name} is {'new' if path in after else 'gone'}"
        elif before[path]["sha256"] != after[path]["sha256"]:
            yield (
                f"{name} has {counted(after[path]['bytes'], 'byte')}, then "
                f"{before[path]['bytes']:,}, and another content"
            )
