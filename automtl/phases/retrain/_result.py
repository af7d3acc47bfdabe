"""The result of a retrain."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from automtl import files
from automtl.bounds import fitting
from automtl.errors import ArtifactError
from automtl.reports.results import SelfShowing
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.training.metrics.evaluation import Evaluation


@dataclass(frozen=True)
class RetrainResult(SelfShowing):
    """One retrained model.

    Args:
        folder: its phase folder.
        architecture: bound to the data set.
        validation: metrics of the best epoch on the validation rows.
        best_epochs: per network (one, or one per task for ``single_task``) the best epoch, from 0.
    """

    folder: PhaseDir
    architecture: Architecture
    validation: Evaluation
    best_epochs: tuple[int, ...]

    @classmethod
    def read(cls, folder: PhaseDir) -> Self:
        """The result of a retrain that has ended.

        Raises:
            ArtifactError: it has not, or a file of it is damaged.
        """
        if (state := folder.state()) != "done":
            fix = f"go on with --resume, and --out {folder.run}"
            raise ArtifactError(folder.path, "must be a retrain that has ended", state, fix)
        results = files.read_json(folder.results)
        with fitting(folder.results):
            validation, best = Evaluation(**results["validation"]), tuple(results["best_epochs"])
        return cls(folder, Architecture.load(folder.architecture), validation, best)

    @property
    def home(self) -> Path:
        return self.folder.run

    def headline(self) -> str:
        return f"{self.folder.path.name}: validation MTL-Loss {self.validation.loss_text}"
