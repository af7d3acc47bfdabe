"""The storage of a study: SQLite in its own folder, or a database that several machines reach."""

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
    def of(cls, folder: PhaseDir, url: str | None, *, resume: bool) -> "Storage":
        """For the study of a folder, begun or not.

        Raises:
            ConfigError: the database does not open, is not the one that the study began with, or
                has the study of an earlier folder.
        """
        if not (resume and folder.manifest.exists()):
            storage = cls() if url is None else cls(url, f"{cls.name}-{folder.path.absolute()}")
            storage.check(new=not resume)
            return storage
        values = Manifest.read(folder.manifest).values
        storage = cls(url, values.get("study", cls.name))
        if storage.shown != values.get("storage"):
            fix = f"--storage {values['storage']}" if values.get("storage") else "leave it out"
            raise ConfigError(
                "--storage", "must be what the study began with", storage.shown or "none", fix
            )
        storage.check(new=False)
        return storage

    @property
    def shown(self) -> str | None:
        """The URL without its password."""
        return None if self.url is None else without_password(self.url)

    def where(self, folder: Path) -> str:
        """The name of the storage in errors: a URL may hold a password."""
        return "--storage" if self.url else str(folder / "study.db")

    def check(self, *, new: bool) -> None:
        """Connect to a database once; see that it has no study of the name where that is to be new.

        Raises:
            ConfigError: it does not open, needs a driver that is not installed, or has one.
        """
        if self.url is None:
            return
        try:
            with sqlalchemy.create_engine(self.url).connect():
                pass
        except ModuleNotFoundError as error:
            fix = "for PostgreSQL: pip install 'automtl[postgres]'"
            raise ConfigError("--storage", f"needs {error.name}", "no such library", fix) from error
        except Exception as error:  # the drivers' own errors have no common base
            complaint = without_password(" ".join(str(error).split()))[:200]
            raise ConfigError(
                "--storage", "must be a database that opens", complaint, _EXAMPLE
            ) from error
        with storage_faults("--storage"):
            if new and self.name in optuna.get_all_study_names(self.open(Path())):
                raise ConfigError(
                    "--storage",
                    "must not hold a study of this folder yet",
                    self.name,
                    "choose another --out",
                )

    def open(self, folder: Path) -> optuna.storages.BaseStorage:
        """The storage itself, its tables made where it has none."""
        # a folder's name may hold ? and #
        own = sqlalchemy.URL.create("sqlite", database=str((folder / "study.db").absolute()))
        url = self.url or own.render_as_string()
        # SQLite: a second worker waits for the first one's transaction; a server: an epoch may
        # outlast what it grants an idle connection
        settings: dict[str, Any] = (
            {"connect_args": {"timeout": 60}}
            if url.startswith("sqlite")
            else {"pool_pre_ping": True}
        )
        return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=settings))


@contextlib.contextmanager
def storage_faults(where: str) -> Iterator[None]:
    """Turn what databases complain of into one clear error."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        complaint = without_password(" ".join(str(error.__cause__ or error).split()))[:200]
        fix = "see that it runs, has space and is whole; then --resume"
        raise EnvironmentFault(
            where, "must be a database that can be read and written", complaint, fix
        ) from error
