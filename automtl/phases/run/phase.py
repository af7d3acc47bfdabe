"""Runs a phase in its folder: holds the folder, opens or reopens it, and records how the phase
ended.
"""

import time
from typing import Any, Literal, Protocol, TypeVar

from automtl.phases.run.checkpointer import Checkpointer
from automtl.phases.run.faults import explained_faults
from automtl.phases.run.phase_folder import close_failed, holding, open_phase
from automtl.phases.run.resume import reopen
from automtl.phases.run.session import Session
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Stopwatch:
    """The seconds of a phase, those of earlier processes included."""

    def __init__(self) -> None:
        self.restart(0.0)

    def restart(self, seconds: float) -> None:
        """Count on from so many seconds."""
        self._earlier, self._start = seconds, time.monotonic()

    @property
    def seconds(self) -> float:
        """Up to now."""
        return self._earlier + time.monotonic() - self._start


class Phase(Protocol[T_co]):
    """A search or a retrain in one folder; one that was begun there goes on.

    Attributes:
        session: data, device, settings.
        folder: the phase's folder.
        kind: which of the two.
        batch_size: name and value of the setting, for messages.
        model: what is trained.
    """

    @property
    def session(self) -> Session: ...
    @property
    def folder(self) -> PhaseDir: ...
    @property
    def kind(self) -> Literal["search", "retrain"]: ...
    @property
    def batch_size(self) -> tuple[str, int]: ...
    @property
    def model(self) -> SearchSpace | Architecture: ...

    def place(self) -> tuple[int, int]:
        """Epoch and step as they stand, both from 0."""

    def state_dict(self) -> dict[str, Any]:
        """All that going on from here needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError, RuntimeError: it is none of this phase's.
        """

    def begin(self) -> dict[str, Any]:
        """Write what a resume must find; what the manifest says of the phase."""

    def check_begun(self) -> None:
        """Refuse to go on with what is in the folder.

        Raises:
            ArtifactError: it is another phase's work.
        """

    def work(self, manifest: Manifest, checkpointer: Checkpointer) -> T_co:
        """Train, with the checkpointer open around the steps, and write the result."""

    def ended(self) -> T_co:
        """The result of a phase that has ended before."""


def run_phase(phase: Phase[T]) -> T:
    """Run a phase to its end, and note in its manifest where it fails."""
    session, folder = phase.session, phase.folder
    with holding(folder, session, phase.kind):
        manifest = _manifest(phase)
        if manifest.values["state"] == "done":
            return phase.ended()
        try:
            with explained_faults(
                folder, phase.batch_size, phase.place, session.store, phase.model
            ):
                result = phase.work(manifest, Checkpointer(folder, session, phase.state_dict))
                session.ranks.told(None)  # what the first one wrote is there for all of them
                return result
        except BaseException as error:
            close_failed(manifest, error)
            raise


def _manifest(phase: Phase[Any]) -> Manifest:
    """A new manifest, or that of the begun phase, its state restored."""
    session, folder = phase.session, phase.folder
    if session.ranks.told(folder.manifest.exists()):
        phase.check_begun()
        return reopen(folder, session, phase.load_state_dict)
    return open_phase(folder, session, phase=phase.kind, **phase.begin())
