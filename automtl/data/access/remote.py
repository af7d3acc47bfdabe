"""Files behind an address (s3://, gs://, hdfs://, https://, memory://) with the few methods of a
`Path` that reading needs.

Through fsspec (the extra `remote`), which also knows the file systems of pyarrow. Nothing is
written to an address: a `RemoteFile` can only be read. universal-pathlib's paths would add a
dependency and save its properties; which version of a file it is, folders named as Hive names
them, streams for pyarrow and the errors would stand here as they do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pyarrow as pa

from automtl.errors import DataError, EnvironmentFault

MARK = "://"


@dataclass(frozen=True, order=True)
class RemoteFile:
    """A file behind an address.

    Args:
        url: with its protocol.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(self.url).name

    @property
    def suffix(self) -> str:
        """The name's ending, dot included."""
        return PurePosixPath(self.url).suffix

    @property
    def parent(self) -> str:
        """The address without its last part."""
        return self.url.rpartition("/")[0]

    def with_suffix(self, suffix: str) -> "RemoteFile":
        """The same address with another ending."""
        return RemoteFile(self.url.removesuffix(self.suffix) + suffix)

    def absolute(self) -> "RemoteFile":
        """Itself: an address is never relative."""
        return self

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file's bytes.

        Raises:
            OSError: it cannot be opened.
        """
        assert mode == "rb", "remote files are only read"
        system, path = file_system(self.url)
        stream: BinaryIO = system.open(path, "rb")
        return stream

    def stat(self) -> SimpleNamespace:
        """Size, and what tells one version of the content from another (a hash of what the file
        system says of it).
        """
        system, path = file_system(self.url)
        known = system.info(path)
        version = [
            str(known.get(key, ""))
            for key in (
                "ETag",
                "etag",
                "mtime",
                "LastModified",
                "last_modified",
                "created",
                "md5Hash",
            )
        ]
        return SimpleNamespace(
            st_size=int(known["size"]), st_mtime_ns=0, st_ino=0, version="|".join(version)
        )


def file_system(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        EnvironmentFault: fsspec, or what it needs for the protocol, is not installed.
        DataError: the protocol is unknown.
    """
    try:
        from fsspec.core import url_to_fs

        system_and_path: tuple[Any, str] = url_to_fs(url)
        return system_and_path
    except ImportError as error:
        raise EnvironmentFault(
            url, "needs the extra `remote`", error, 'run `pip install "automtl[remote]"`'
        ) from error
    except ValueError as error:
        raise DataError(url, "must have a protocol that fsspec knows", error) from error


def arrow_source(path: Path | RemoteFile) -> Any:
    """What pyarrow takes for a file: a local path itself, a stream of a remote one."""
    return pa.PythonFile(path.open("rb"), mode="r") if isinstance(path, RemoteFile) else path


def expand(url: str, tables_among: Callable[[list[Any]], list[Any]]) -> list[Path]:
    """The files that an address, a pattern or a folder stands for.

    Args:
        url: with its protocol.
        tables_among: those of a folder's files that are tables.
    """
    system, path = file_system(url)
    protocol = url.partition(MARK)[0]
    folder = not any(sign in path for sign in "*?[") and system.isdir(path)
    names = (
        list(_walked(system, path))
        if folder
        else [path]
        if system.exists(path)
        else system.glob(path)
    )
    files = [RemoteFile(name if MARK in name else f"{protocol}{MARK}{name}") for name in names]
    # all that readers of tables ask of a Path, a RemoteFile has
    return cast(list[Any], tables_among(files) if folder else files)


def _walked(system: Any, folder: str) -> Iterator[str]:
    """The files of a folder, and of those in it that are named as Hive names a table's parts
    (`day=2023-11-14`).
    """
    for entry in system.ls(folder, detail=True):
        if entry["type"] != "directory":
            yield entry["name"]
        elif "=" in PurePosixPath(entry["name"]).name:
            yield from _walked(system, entry["name"])
