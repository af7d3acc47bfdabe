"""A discrete architecture trained from fresh weights."""

from automtl.phases.retrain._result import RetrainResult
from automtl.phases.retrain._start import retrain

__all__ = ["RetrainResult", "retrain"]
