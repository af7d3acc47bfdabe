"""What Python users call, by the same code as the commands."""

from automtl.api._describing import describe
from automtl.api._serving import export, predict
from automtl.api._studies import tune
from automtl.api.callbacks import Callback, StopTraining
from automtl.api.dataset import Dataset
from automtl.api.judging import compare, evaluate, pareto, rank
from automtl.api.models import Model, Models
from automtl.api.opening import open
from automtl.api.recommender import MultiTaskRecommender
from automtl.api.results import Search
from automtl.api.showing import report, show
from automtl.api.training import retrain, search

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
    "report",
    "retrain",
    "search",
    "show",
    "tune",
]
