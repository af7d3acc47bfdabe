"""The store of a data set: opened where it is there and intact, made where it is not.

Nothing appears under the store's name before it is whole.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from automtl.data.access.fingerprints import Fingerprints, fingerprints_below
from automtl.data.access.paths import partitions
from automtl.data.prepare._passes import make
from automtl.data.prepare.in_parts import InParts, make_in_parts
from automtl.data.raw.columns import plan_readings
from automtl.data.raw.sources import Source, find_sources, silent
from automtl.data.spec.dataset import DatasetConfig, keeps_data
from automtl.data.store import Store
from automtl.data.store.encoding import FORMAT, MANIFEST, checksum, sealed
from automtl.errors import ArtifactError, ConfigError, DataError, InUse
from automtl.files import StagedFolder, clear_temporaries, locked, remove_folder, write_json

Progress = Callable[[str], None]
_HOME = ".{}.parts"  # what is made of a store's parts, beside it until it is whole


@keeps_data
def prepare(
    config: DatasetConfig,
    *,
    data_dir: Path,
    progress: Progress | None = None,
    parts: InParts | None = None,
    make_anew: bool = True,
) -> Store:
    """Make the store of a data set, or open it where it is already there and intact.

    The store's folder is `<data_dir>/prepared/<name>-<hash>`; the hash is of the settings and of
    the raw files' content. Raw files and the store's own are read to be checked only where they
    changed since the last call (see `Fingerprints`).

    Args:
        config: the data set; relative paths of its files are under `<data_dir>/raw/<name>` (see
            `load_dataset`).
        data_dir: where raw and prepared data are kept.
        progress: is told, in a sentence, what goes on.
        parts: prepare by several processes, each at a part of the rows; the store is the same.
            What they have made lies beside the store to be until it is whole, and is gone on with.
        make_anew: else a store that is not there is refused.

    Raises:
        ArtifactError: as above.
        ConfigError: it cannot be prepared in parts.
        DataError: the data break a rule; nothing is left behind.
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    if parts is not None:
        parts.check(config)
    say, known = progress or silent, Fingerprints(data_dir.absolute())
    config_hash = settings_hash(config)
    config = placed(config, data_dir)
    sources = find_sources(config)
    used = {*plan_readings(config), *(derived.column for derived in config.derived)}
    raw_files = [_raw_file(source, known, used) for source in sources]
    path = data_dir.absolute() / "prepared" / f"{config.name}-{_key(raw_files, config_hash)[:12]}"
    if (store := _opened(path, known)) is not None:
        return store
    if not make_anew:
        rule, fix = "must be there before several machines start", "run `automtl data prepare`"
        raise ArtifactError(path, rule, "no such store", fix)
    known.save()
    with _alone(data_dir.absolute(), say):
        if (store := _opened(path, known, say)) is not None:  # another process was at it
            return store
        clear_temporaries(path.parent)
        say(f"preparing {config.name} from {_count(sources)}, once: {path}")
        home = path.with_name(_HOME.format(path.name))
        for other in {*path.parent.glob(_HOME.format(f"{config.name}-*"))} - {home}:
            say(f"{other} is of other files or settings; remove it where nobody goes on with it")
        with _meanwhile(home), StagedFolder(path) as folder:
            summary = (
                make(config, sources, folder, config_hash, say)
                if parts is None
                else make_in_parts(config, sources, folder, config_hash, say, how=parts, home=home)
            )
            _seal(folder, {"key": path.name, "sources": raw_files, "summary": summary})
        return Store.open(path, verify=False)


@contextlib.contextmanager
def _meanwhile(home: Path) -> Iterator[None]:
    """Inside, what several processes make lies in a folder. It is kept where that can be gone on
    with: not once the store is whole, nor after a fault of the data, since mended ones have another
    name.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, DataError) and home.exists():
            remove_folder(home)
        raise
    if home.exists():
        remove_folder(home)


def _seal(folder: StagedFolder, facts: dict[str, Any]) -> None:
    """Write the manifest, the last of a store's files: what it was made of, all other files."""
    files = fingerprints_below(folder / ".")
    write_json(folder / MANIFEST, sealed({"format": FORMAT, **facts, "files": files}))


def prepared(key: str, data_dir: Path) -> Store | None:
    """The store of a name, whatever became of the raw files; None where there is none that is
    whole.
    """
    return _opened(
        data_dir.absolute() / "prepared" / Path(key).name, Fingerprints(data_dir.absolute())
    )


def _opened(path: Path, known: Fingerprints, say: Progress = silent) -> Store | None:
    """The store at a path; None where there is none, or one that is damaged, which is said."""
    if not path.exists():
        return None
    try:
        return Store.open(path, fingerprints=known)
    except (ArtifactError, ConfigError) as error:
        say(f"making the store anew: {error}")
        return None


@contextlib.contextmanager
def _alone(folder: Path, say: Progress) -> Iterator[None]:
    """Hold the folder of all data: whoever would make a store meanwhile waits, and finds the same
    one made.
    """
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(locked(folder))
        except InUse as busy:
            say(f"waiting for {busy.got}: it prepares data in {folder}")
            locks.enter_context(locked(folder, wait=True))
        yield


def placed(config: DatasetConfig, data_dir: Path) -> DatasetConfig:
    """The data set with the paths of its files under the folder of its raw files."""
    return config.in_folder(data_dir.absolute() / "raw" / config.name)


def settings_hash(config: DatasetConfig) -> str:
    """SHA-256 of the settings that decide what is in a store; files count by their content instead,
    not by their paths.
    """
    plain = config.model_dump(
        mode="json", exclude={"files", "source", "vocabularies_from", "recommends"}
    )
    for join in plain["joins"]:
        del join["file"]
    for feature in plain["features"]:
        for path in {"pretrained", "words"} & feature.keys():
            feature[path] = feature[path] is not None
    return checksum(plain)


def _raw_file(source: Source, known: Fingerprints, used: set[str]) -> dict[str, Any]:
    """What a store keeps of a raw file: its content's hash, and what its folders' names say of its
    rows.
    """
    folders = {name: word for name, word in partitions(source.path).items() if name in used}
    plain: dict[str, Any] = {"role": source.role, "path": str(source.path), **known.of(source.path)}
    return plain | ({"folders": folders} if folders else {})


def _key(raw_files: list[dict[str, Any]], config_hash: str) -> str:
    return checksum(
        [
            FORMAT,
            config_hash,
            sorted(
                (file["role"], file["sha256"], *sorted(file.get("folders", {}).items()))
                for file in raw_files
            ),
        ]
    )


def _count(sources: tuple[Source, ...]) -> str:
    return f"{len(sources)} file{'s' * (len(sources) > 1)}"
