"""Raw files -> store, in bounded memory.

Pass 1 reads the raw files once, checks every row and spools what is needed of it (digests) beside the store to be; pass 2 goes
over the spool for vocabularies and statistics of the training split; pass 3 encodes and writes. Nothing appears under the
store's name before it is whole.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.adapters.registry import reader_of
from automtl.data.ahead import ahead
from automtl.data.dataset import DatasetConfig
from automtl.data.digest import Digester
from automtl.data.encode import Arrays, Encoder
from automtl.data.fit import Fit
from automtl.data.leakage import LeakCheck
from automtl.data.schema import Schema
from automtl.data.sources import Source, find_sources, fingerprint
from automtl.data.split import ALPHA, SPLITS, Rule, split_rule
from automtl.data.store import FORMAT, Store, checksum
from automtl.errors import ArtifactError, ConfigError
from automtl.files import StagedFolder, write_json

SPOOL = "spool.arrow"
REPORT_ROWS = 1_000_000

Progress = Callable[[str], None]


def _silent(message: str) -> None:
    """No progress wanted."""


def prepare(config: DatasetConfig, *, data_dir: Path, progress: Progress | None = None) -> Store:
    """Make the store of a data set, or open it where it is already there and intact.

    The store's folder is `<data_dir>/prepared/<name>-<hash>`; the hash is of the settings and of the raw files' content.

    Args:
        config: the data set; relative paths of its files are under `<data_dir>/raw/<name>` (see `load_dataset`).
        data_dir: where raw and prepared data are kept.
        progress: is told, in a sentence, what goes on.

    Raises:
        DataError: the data break a rule; nothing is left behind.
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    say = progress or _silent
    sources = find_sources(config.in_folder(data_dir.absolute() / "raw" / config.name))
    prints = [{"role": source.role, "path": str(source.path), **fingerprint(source.path)} for source in sources]
    config_hash = checksum(config.model_dump(mode="json", exclude={"files", "source"}))
    key = checksum([FORMAT, config_hash, sorted((p["role"], p["sha256"]) for p in prints)])
    path = data_dir.absolute() / "prepared" / f"{config.name}-{key[:12]}"
    if path.exists():
        try:
            return Store.open(path)
        except (ArtifactError, ConfigError) as error:
            say(f"making the store anew: {error}")
    say(f"preparing {config.name} from {len(sources)} file{'s' * (len(sources) > 1)}, once: {path}")
    with StagedFolder(path) as folder:
        summary = _make(config, sources, folder, config_hash, say)
        body = {"format": FORMAT, "key": key, "sources": prints, "summary": summary, "files": _fingerprints(folder / ".")}
        write_json(folder / "manifest.json", body | {"checksum": checksum(body)})
    return Store.open(path, verify=False)


def _make(config: DatasetConfig, sources: tuple[Source, ...], folder: StagedFolder, config_hash: str, say: Progress) -> dict[str, Any]:
    digester = Digester(config)
    times = _spool(config, sources, digester, folder, say)
    rule = split_rule(config, times)
    if digester.float_text.names:
        say(f"float columns read as categorical text (1.0 -> 1): {', '.join(digester.float_text.names)}")
    say("counting words and fitting scalers on the training rows")
    fit = Fit(config, digester.float_text.names)
    for batch in ahead(_unspool(folder)):
        fit.add(batch, _parts(rule, batch))
    fit.check_rows()
    schema, vocabularies = fit.result(config_hash)
    write_json(folder / "schema.json", schema.model_dump(mode="json"))
    for i, field in enumerate(schema.categorical):
        with folder.stream(f"vocabularies/{i}.arrow") as stream, pa.ipc.new_file(stream, vocabularies[field.name].schema) as writer:
            writer.write_table(vocabularies[field.name])
    say("encoding")
    encoder = Encoder(schema, {name: table["word"] for name, table in vocabularies.items()}, _weighted(config))
    leaks = LeakCheck(config, schema, int(fit.part_rows[: ALPHA + 1].sum()))
    _write_rows(folder, schema, fit.part_rows, bool(_weighted(config)), ahead(_encoded(folder, encoder, rule, leaks)))
    leaks.check()
    folder.discard(SPOOL)
    return fit.summary()


def _encoded(folder: StagedFolder, encoder: Encoder, rule: Rule, leaks: LeakCheck) -> Iterator[tuple[Arrays, np.ndarray]]:
    for batch in _unspool(folder):
        arrays, parts = encoder(batch), _parts(rule, batch)
        leaks.add(arrays, parts <= ALPHA, batch.column("hash").to_numpy())
        yield arrays, parts


def _weighted(config: DatasetConfig) -> frozenset[str]:
    return frozenset(task.name for task in config.tasks if task.sample_weight)


def _parts(rule: Rule, batch: pa.RecordBatch) -> np.ndarray:
    return rule(batch.column("role").to_numpy(), batch.column("key").to_numpy())


def _spool(
    config: DatasetConfig, sources: tuple[Source, ...], digester: Digester, folder: StagedFolder, say: Progress
) -> np.ndarray | None:
    """Pass 1; gives the times of all rows where the split is by time."""
    read, rows, times = reader_of(config), 0, list[np.ndarray]()
    with folder.stream(SPOOL, durable=False) as stream, pa.ipc.new_stream(stream, digester.schema) as writer:
        for role in dict.fromkeys(source.role for source in sources):
            for piece in ahead(read([source.path for source in sources if source.role == role], digester.readings, config.csv)):
                digest = digester(piece, role)
                writer.write_batch(digest)
                if config.split.kind == "time":
                    times.append(digest.column("key").to_numpy())
                rows += len(digest)
                if rows // REPORT_ROWS > (rows - len(digest)) // REPORT_ROWS:
                    say(f"read {rows:,} rows")
    say(f"read {rows:,} rows")
    return np.concatenate(times) if times else None


def _unspool(folder: StagedFolder) -> Iterator[pa.RecordBatch]:
    """The digests again; read, not mapped, so that they do not count as memory held."""
    with (folder / SPOOL).open("rb") as stream:
        yield from pa.ipc.open_stream(stream)


def _write_rows(
    folder: StagedFolder, schema: Schema, part_rows: np.ndarray, weighted: bool, encoded: Iterator[tuple[Arrays, np.ndarray]]
) -> None:
    """Pass 3: every split's arrays, appended batch by batch; row numbers of the alpha rows."""
    rows = dict(zip(SPLITS, (int(part_rows[: ALPHA + 1].sum()), *part_rows[ALPHA + 1 :].tolist()), strict=True))
    columns = {"ids": len(schema.categorical), "dense": len(schema.numeric), "labels": len(schema.tasks)}
    columns |= {"weights": len(schema.tasks)} if weighted else {}
    alpha, done = list[np.ndarray](), 0
    with contextlib.ExitStack() as stack:
        streams = {(split, name): stack.enter_context(folder.stream(f"{split}/{name}.npy")) for split in SPLITS for name in columns}
        for (split, name), stream in streams.items():
            _write_header(stream, (rows[split], columns[name]), np.int32 if name == "ids" else np.float32)
        for arrays, parts in encoded:
            splits = np.maximum(parts - ALPHA, 0)
            for (split, name), stream in streams.items():
                stream.write(np.ascontiguousarray(getattr(arrays, name)[splits == SPLITS.index(split)]).data)
            alpha.append(np.flatnonzero(parts[splits == 0] == ALPHA) + done)
            done += int((splits == 0).sum())
    index = np.concatenate(alpha).astype(np.int64)
    with folder.stream("train/alpha.npy") as stream:
        _write_header(stream, index.shape, np.int64)
        stream.write(index.data)


def _write_header(stream: Any, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype).newbyteorder("<")), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(stream, header)


def _fingerprints(folder: Path) -> dict[str, dict[str, int | str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): fingerprint(path) for path in files}


