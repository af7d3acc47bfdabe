"""Studies: many short searches and retrains."""

from automtl.phases.tune._start import tune
from automtl.phases.tune.results import TuneResult

__all__ = ["TuneResult", "tune"]
