"""What Python users call, by the same code as the commands."""

from automtl.api.callbacks import Callback, StopTraining
from automtl.api.dataset import Dataset
from automtl.api.judging import compare, evaluate, pareto, rank
from automtl.api.opening import open
from automtl.api.recommender import MultiTaskRecommender
from automtl.api.results import Model, Models, Search
from automtl.api.showing import describe, export, predict, show, write_report
from automtl.api.training import retrain, search, tune

__all__ = [
    "Callback",
    "Dataset",
    "Model",
    "Models",
    "MultiTaskRecommender",
    "Search",
    "StopTraining",
    "compare",
    "describe",
    "evaluate",
    "export",
    "open",
    "pareto",
    "predict",
    "rank",
    "retrain",
    "search",
    "show",
    "tune",
    "write_report",
]
