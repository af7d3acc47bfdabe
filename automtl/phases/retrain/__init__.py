"""A discrete architecture trained from fresh weights."""

from automtl.phases.retrain._phase import RetrainResult, retrain

__all__ = ["RetrainResult", "retrain"]
