"""Where a study is kept: SQLite in its own folder, or a database that several machines can reach."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy

from automtl.errors import ConfigError, EnvironmentFault
from automtl.runs.manifest import Manifest, without_password
from automtl.runs.run_dir import PhaseDir

_EXAMPLE = "for example postgresql+psycopg://user@host/name"


@dataclass(frozen=True)
class Storage:
    """A place for one study.

    Args:
        url: a database's; None for SQLite in the study's folder.
        name: of the study there.
    """

    url: str | None = None
    name: str = "automtl"

    @classmethod
    def begin(cls, folder: Path, url: str | None) -> "Storage":
        """For a new study.

        Raises:
            ConfigError: the database does not open, or has a study of that folder, whose trials are not this one's.
        """
        if url is None:
            return cls()
        made = cls(url, f"automtl-{folder.absolute()}")
        made.check()
        with unreachable():
            if made.name in optuna.get_all_study_names(made.open(folder)):
                raise ConfigError("--storage", "must not hold a study of this folder yet", made.name, "choose another --out")
        return made

    @classmethod
    def held(cls, folder: PhaseDir, url: str | None) -> "Storage":
        """For a study that was begun.

        Raises:
            ConfigError: it is kept elsewhere, or the database does not open.
        """
        values = Manifest.read(folder.manifest).values
        made = cls(url, values.get("study", cls.name))
        if made.shown != values.get("storage"):
            fix = f"--storage {values['storage']}" if values.get("storage") else "leave it out"
            raise ConfigError("--storage", "must be what the study began with", made.shown or "none", fix)
        made.check()
        return made

    @property
    def shown(self) -> str | None:
        """The URL without its password."""
        return None if self.url is None else without_password(self.url)

    def check(self) -> None:
        """Connect once.

        Raises:
            ConfigError: the database does not open, or needs a driver that is not installed.
        """
        if self.url is None:
            return
        try:
            with sqlalchemy.create_engine(self.url).connect():
                return
        except ModuleNotFoundError as error:
            fix = "for PostgreSQL: pip install 'automtl[postgres]'"
            raise ConfigError("--storage", f"needs {error.name}", "no such library", fix) from error
        except Exception as error:  # the drivers' own errors have no common base
            told = without_password(" ".join(str(error).split()))[:200]
            raise ConfigError("--storage", "must be a database that opens", told, _EXAMPLE) from error

    def open(self, folder: Path) -> optuna.storages.BaseStorage:
        """The storage itself, its tables made where it has none."""
        url = self.url or f"sqlite:///{(folder / 'study.db').absolute()}"
        # SQLite: a second worker waits for the first one's transaction; a server: an epoch may outlast what it grants an idle connection
        settings: dict[str, Any] = {"pool_pre_ping": True} if self.url else {"connect_args": {"timeout": 60}}
        return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=settings))


@contextlib.contextmanager
def unreachable() -> Iterator[None]:
    """Say of a database that fails under a running study what to do; trials at work are taken up again.

    Raises:
        EnvironmentFault: it failed.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        told = without_password(" ".join(str(error.__cause__ or error).split()))[:200]
        raise EnvironmentFault("study", "must be within reach in its storage", told, "go on with --resume once it is") from error
