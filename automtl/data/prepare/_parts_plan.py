"""A data set's rows in parts, one behind the other, and where what is made of each lies
meanwhile.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from automtl import files
from automtl.data.prepare._digest import ROLES
from automtl.data.prepare.rows import RowReader
from automtl.data.raw.sources import Source
from automtl.data.raw.spans import Span, pieces_in
from automtl.data.spec.dataset import DatasetConfig
from automtl.errors import counted

VERSION = 2  # of what lies in the folder
Say = Callable[[str], None]
SPOOL = "spool.arrow"
HASHES = "hashes.npy"
TIMES = "times.npy"
PARTS = "parts.npy"


class Part(NamedTuple):
    """Some consecutive rows.

    Attributes:
        number: from 0, in the order of the rows.
        role: what its files are for.
        spans: where its rows are.
        goes_on: whether it begins in the middle of a file.
    """

    number: int
    role: str
    spans: tuple[Span, ...]

    goes_on: bool = False

    @property
    def paths(self) -> list[Path]:
        """Its files."""
        return [span.path for span in self.spans]


@dataclass(frozen=True)
class Work:
    """The folder of a store in the making; every file appears in it whole, so that what is there
    need not be made again.
    """

    path: Path

    def of(self, part: int, name: str) -> Path:
        """The path of a part's file."""
        return self.path / f"part-{part:05}" / name

    def bucket(self, kind: str, bucket: int, ending: str) -> Path:
        """The path of a file of a bucket, of hashes or of words."""
        return self.path / kind / f"{bucket:05}.{ending}"

    def batches(self, part: int) -> Iterator[pa.RecordBatch]:
        """The digests of a part; read, not mapped, so that they do not count as memory held."""
        with self.of(part, SPOOL).open("rb") as stream:
            yield from pa.ipc.open_stream(stream)


def write_facts(path: Path, value: Any) -> None:
    """Write JSON data of any size."""
    files.write_bytes(path, json.dumps(value).encode())


def read_facts(path: Path) -> Any:
    """The data that `write_facts` wrote."""
    return json.loads(path.read_bytes())


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file."""
    with files.stream(path) as stream:
        np.save(stream, array)


def _cut_up(config: DatasetConfig, sources: Sequence[Source], count: int, say: Say) -> list[Part]:
    """The rows in about `count` parts of like size; each has one role at most.

    An adapter reads its files as it pleases: there each role is one part.
    """
    by_role = {role: [s.path for s in sources if s.role == role] for role in ROLES}
    by_role = {role: paths for role, paths in by_role.items() if paths}
    if config.adapter is not None:
        say(f"the adapter {config.adapter} reads files as a whole: {counted(len(by_role), 'part')}")
        whole = [tuple(Span(path) for path in paths) for paths in by_role.values()]
        return [
            Part(i, role, spans) for i, (role, spans) in enumerate(zip(by_role, whole, strict=True))
        ]
    total = sum(path.stat().st_size for paths in by_role.values() for path in paths)
    parts = list[Part]()
    for role, paths in by_role.items():
        size = sum(path.stat().st_size for path in paths)
        groups = _groups(config, paths, max(1, round(count * size / max(total, 1))), say)
        for spans in groups:
            middle = bool(parts) and spans[0].path == parts[-1].spans[-1].path
            parts.append(Part(len(parts), role, tuple(spans), middle))
    return parts


def _groups(config: DatasetConfig, paths: Sequence[Path], count: int, say: Say) -> list[list[Span]]:
    """Files in so many groups of like size, cut where a border falls into one."""
    sizes = [path.stat().st_size for path in paths]
    starts = np.cumsum([0, *sizes])
    borders = [starts[-1] * i / count for i in range(1, count)]
    groups: dict[int, list[Span]] = {}
    for path, start, size in zip(paths, starts, sizes, strict=False):
        within = borders[bisect_right(borders, start) : bisect_left(borders, start + size)]
        inner = [(border - start) / size for border in within]
        for span, place in _cut(path, inner, config, say):
            number = bisect_right(borders, start + place * size)
            groups.setdefault(number, []).append(span)
    return [groups[number] for number in sorted(groups)]


def _cut(
    path: Path, places: Sequence[float], config: DatasetConfig, say: Say
) -> Iterator[tuple[Span, float]]:
    """A file's spans between some places in it (0 to 1), each with the place where it begins."""
    if not places:
        yield Span(path), 0.0
        return
    say(f"going over {path} for where to cut it")
    span, numbered = pieces_in(path, config.csv)
    if not span.pieces:
        say(f"{path} cannot be cut: it is one part")
        yield Span(path), 0.0
        return
    begins = np.concatenate([[0], np.cumsum(span.pieces)]) / sum(span.pieces)
    # the first piece that begins at or behind each place
    cuts = sorted({0, *np.searchsorted(begins[:-1], places).tolist(), len(span.pieces)})
    counts = np.diff(cuts).tolist()
    for one, first in zip(span.cut(counts, numbered=numbered), cuts, strict=False):
        yield one, float(begins[first])


def plan_parts(
    config: DatasetConfig,
    sources: Sequence[Source],
    reader: RowReader,
    work: Work,
    count: int,
    say: Say,
) -> list[Part]:
    """About `count` parts, as they were cut before where that was begun; `reader` learns the forms
    of times.
    """
    path, known = work.path / "plan.json", {str(source.path): source.path for source in sources}
    if path.exists():
        earlier = read_facts(path)
        same = earlier["version"] == VERSION and earlier["count"] == count
        if same and all(span[0] in known for _, spans, _ in earlier["parts"] for span in spans):
            say(f"going on with the parts in {work.path}")
            reader.times.update(earlier["times"])
            return [
                Part(i, role, tuple(_span(known, *span) for span in spans), goes_on)
                for i, (role, spans, goes_on) in enumerate(earlier["parts"])
            ]
        files.remove_folder(work.path)
    for role in ROLES:  # the first rows tell how times are written
        paths = [source.path for source in sources if source.role == role]
        with closing(reader(paths)) as pieces:  # type: ignore[type-var] # a generator
            if paths and next(iter(pieces), None) is not None:
                break
    parts = _cut_up(config, sources, count, say)
    spans = [
        [part.role, [[str(s.path), s.start, s.pieces] for s in part.spans], part.goes_on]
        for part in parts
    ]
    plan = {"version": VERSION, "count": count, "times": dict(reader.times), "parts": spans}
    write_facts(path, plan)
    return parts


def _span(known: dict[str, Path], path: str, start: int, pieces: list[int] | None) -> Span:
    return Span(known[path], start, None if pieces is None else tuple(pieces))
