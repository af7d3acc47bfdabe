"""The store of a data set: opened where it is there and intact, made where it is not.

Nothing appears under the store's name before it is whole.
"""

from collections.abc import Callable
from pathlib import Path

from automtl.data.dataset import DatasetConfig
from automtl.data.make import make
from automtl.data.prints import Fingerprints, fingerprint
from automtl.data.sources import Source, find_sources
from automtl.data.store import FORMAT, Store, checksum
from automtl.errors import ArtifactError, ConfigError
from automtl.files import StagedFolder, write_json

Progress = Callable[[str], None]


def _silent(message: str) -> None:
    """No progress wanted."""


def prepare(config: DatasetConfig, *, data_dir: Path, progress: Progress | None = None) -> Store:
    """Make the store of a data set, or open it where it is already there and intact.

    The store's folder is `<data_dir>/prepared/<name>-<hash>`; the hash is of the settings and of the raw files' content. Raw files
    and the store's own are read to be checked only where they changed since the last call (see `prints`).

    Args:
        config: the data set; relative paths of its files are under `<data_dir>/raw/<name>` (see `load_dataset`).
        data_dir: where raw and prepared data are kept.
        progress: is told, in a sentence, what goes on.

    Raises:
        DataError: the data break a rule; nothing is left behind.
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    say, known = progress or _silent, Fingerprints(data_dir.absolute())
    config_hash = settings_hash(config)
    config = placed(config, data_dir)
    sources = find_sources(config)
    prints = [{"role": source.role, "path": str(source.path), **known.of(source.path)} for source in sources]
    path = data_dir.absolute() / "prepared" / f"{config.name}-{_key(prints, config_hash)[:12]}"
    if path.exists():
        try:
            return Store.open(path, prints=known)
        except (ArtifactError, ConfigError) as error:
            say(f"making the store anew: {error}")
    known.save()
    say(f"preparing {config.name} from {_count(sources)}, once: {path}")
    with StagedFolder(path) as folder:
        summary = make(config, sources, folder, config_hash, say)
        body = {"format": FORMAT, "key": path.name, "sources": prints, "summary": summary, "files": _fingerprints(folder / ".")}
        write_json(folder / "manifest.json", body | {"checksum": checksum(body)})
    return Store.open(path, verify=False)


def placed(config: DatasetConfig, data_dir: Path) -> DatasetConfig:
    """The data set with the paths of its files under the folder of its raw files."""
    return config.in_folder(data_dir.absolute() / "raw" / config.name)


def settings_hash(config: DatasetConfig) -> str:
    """SHA-256 of the settings that decide what is in a store; files count by their content instead, not by their paths."""
    plain = config.model_dump(mode="json", exclude={"files", "source", "vocabularies_from"})
    for join in plain["joins"]:
        del join["file"]
    for feature in plain["features"]:
        for path in {"pretrained", "words"} & feature.keys():
            feature[path] = feature[path] is not None
    return checksum(plain)


def _key(prints: list[dict[str, int | str]], config_hash: str) -> str:
    return checksum([FORMAT, config_hash, sorted((p["role"], p["sha256"]) for p in prints)])


def _count(sources: tuple[Source, ...]) -> str:
    return f"{len(sources)} file{'s' * (len(sources) > 1)}"


def _fingerprints(folder: Path) -> dict[str, dict[str, int | str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): fingerprint(path) for path in files}
