"""Texts as UTF-8, whatever they are written in; what else they may be written in, where they are
not UTF-8.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from automtl.data.access.formats import HEAD_BYTES
from automtl.errors import DataError

MARK = b"\xef\xbb\xbf"  # UTF-8's own, which some editors write
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# no text has them; 1, 2, 3 and 28 to 31 separate values
_CONTROLS = np.isin(np.arange(256), [0, *range(4, 9), *range(14, 28)])
_BINARY_SHARE = 0.02


def utf8_blocks(
    blocks: Iterator[bytes], encoding: str, path: Path, separators: bytes = b""
) -> Iterator[bytes]:
    """A text's blocks in UTF-8, without a byte order mark.

    Args:
        blocks: as they are in the file.
        encoding: what they are written in.
        path: of the file, for errors.
        separators: control characters that the text is known to hold.

    Raises:
        DataError: the bytes are of another encoding, or no text.
    """
    head = next(blocks, b"")
    mark = next(
        (name for sign, name in _MARKS.items() if head.startswith(sign)),
        "UTF-8" if head.startswith(MARK) else "",
    )
    family = codecs.lookup(encoding).name
    if mark and not family.startswith(mark.lower()):
        name = mark.lower()
        raise DataError(
            path,
            f"must be written in {encoding}",
            f"{mark} (by its byte order mark)",
            f"set csv: {{encoding: {name}}}",
        )
    if not family.startswith(("utf-16", "utf-32")):
        _refuse_binary(head, path, separators)
    if family == "utf-8":
        yield head.removeprefix(MARK)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = 1
    mark_sign = "\ufeff"
    for block in _chained(head, blocks):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            lines += error.object[: error.start].decode(encoding, errors="replace").count("\n")
            got = f"the bytes {error.object[error.start : error.start + 4].hex(' ')}"
            raise DataError(
                f"{path}, line {lines}",
                f"must be written in {encoding}",
                got,
                "correct csv.encoding",
            ) from error
        lines += text.count("\n")
        yield text.removeprefix(mark_sign).encode()
        mark_sign = "" if text else mark_sign


def _chained(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """All blocks, then an empty one, which tells a decoder that the text has ended."""
    yield head
    yield from blocks
    yield b""


def _refuse_binary(head: bytes, path: Path, separators: bytes) -> None:
    """Refuse what is no text, and UTF-16 without a mark."""
    signs = np.frombuffer(head[:HEAD_BYTES], np.uint8)
    zeros = [float(np.mean(signs[start::2] == 0)) if len(signs) > 1 else 0.0 for start in (0, 1)]
    for zero, other, name in ((zeros[1], zeros[0], "utf-16-le"), (zeros[0], zeros[1], "utf-16-be")):
        if zero > 0.4 and other < 0.1:
            raise DataError(
                path, "must be UTF-8", "what looks like UTF-16", f"set csv: {{encoding: {name}}}"
            )
    known = np.isin(signs, np.frombuffer(separators, np.uint8))
    if np.mean(_CONTROLS[signs] & ~known) > _BINARY_SHARE:
        raise DataError(
            path,
            "must be a table",
            "a binary file of no known kind",
            "write it as Parquet, CSV or JSON lines",
        )


def guess_encoding(sample: bytes) -> str:
    """The encoding that bytes which are no UTF-8 are most likely written in, as a setting; by their
    bytes beyond ASCII alone.
    """
    high = np.frombuffer(sample, np.uint8) >= 0x80
    edges = np.flatnonzero(np.diff(np.concatenate([[False], high, [False]]).astype(np.int8)))
    lengths = np.diff(edges)[::2]  # of the runs of such bytes
    pairs = float(lengths[lengths % 2 == 0].sum()) / max(float(lengths.sum()), 1)
    # Chinese, two bytes a sign; in Latin-1 a letter beyond ASCII mostly stands alone
    if pairs > 0.9 and _is_gbk(sample):
        return "gbk"
    if lengths.mean() > 3:  # whole words beyond ASCII, a byte a letter: most likely Cyrillic
        return "cp1251"
    return "cp1252" if any(0x80 <= sign < 0xA0 for sign in sample) else "latin-1"


def _is_gbk(sample: bytes) -> bool:
    try:
        sample.decode("gbk")
    except UnicodeDecodeError:
        return False
    return True
