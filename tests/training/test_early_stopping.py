"""Early stopping: direction, patience, undefined values, resume."""

import json
import math

import pytest

from automtl.errors import ConfigError
from automtl.training.early_stopping import DIRECTIONS, EarlyStopping


def run(metric, values, patience=2):
    stopping = EarlyStopping(metric, patience)
    improved = [stopping.update(epoch, value) for epoch, value in enumerate(values)]
    return stopping, improved


@pytest.mark.parametrize("metric", ["loss", "logloss", "ne", "rmse", "mae"])
def test_less_is_better(metric):
    stopping, improved = run(metric, [0.5, 0.6, 0.4, 0.4, 0.45])
    assert improved == [True, False, True, False, False]
    assert (stopping.best_epoch, stopping.best, stopping.should_stop) == (2, 0.4, True)


@pytest.mark.parametrize("metric", ["auc", "gauc", "accuracy"])
def test_more_is_better(metric):
    stopping, improved = run(metric, [0.5, 0.6, 0.4, 0.7, 0.65])
    assert improved == [True, True, False, True, False]
    assert (stopping.best_epoch, stopping.best, stopping.should_stop) == (3, 0.7, False)


def test_every_direction_is_tested_above():
    assert set(DIRECTIONS) == {"loss", "logloss", "ne", "rmse", "mae", "auc", "gauc", "accuracy"}


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", ["auc", "loss"])
def test_an_undefined_value_is_no_improvement(metric, nothing):
    stopping, improved = run(metric, [nothing, 0.5, nothing, nothing])
    assert improved == [False, True, False, False]
    assert (stopping.best_epoch, stopping.best, stopping.should_stop) == (1, 0.5, True)


def test_nothing_but_undefined_values_stops_without_a_best():
    stopping, _ = run("auc", [None, None])
    assert (stopping.best_epoch, stopping.best, stopping.should_stop) == (None, None, True)


def test_patience_counts_from_the_last_improvement():
    stopping = EarlyStopping("loss", 3)
    for epoch, (value, stop) in enumerate(
        [(1.0, False), (2.0, False), (2.0, False), (0.5, False), (1, False), (1, False), (1, True)]
    ):
        stopping.update(epoch, value)
        assert stopping.should_stop is stop


def test_state_goes_through_json_and_goes_on_the_same():
    values = [0.5, None, 0.7, 0.6, 0.65]
    for cut in range(len(values)):
        first, _ = run("auc", values[:cut])
        second = EarlyStopping("auc", 2)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        for epoch in range(cut, len(values)):
            second.update(epoch, values[epoch])
        assert second.state_dict() == run("auc", values)[0].state_dict()
        assert second.should_stop


def test_a_state_of_another_metric_is_refused():
    with pytest.raises(
        ConfigError, match="must be 'auc', as in the run that is resumed, got 'loss'"
    ):
        EarlyStopping("loss", 2).load_state_dict(EarlyStopping("auc", 2).state_dict())


def test_calibration_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"'calibration'; choose from loss, logloss, ne, rmse, mae, auc, gauc, accuracy",
    ):
        EarlyStopping("calibration", 2)


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(ConfigError, match="got 'gaucc'; did you mean 'gauc'"):
        EarlyStopping("gaucc", 2)
    with pytest.raises(ConfigError, match="choose from loss, logloss"):
        EarlyStopping("zzz", 2)


def test_patience_is_at_least_one():
    with pytest.raises(ConfigError, match="at least 1 epoch, got 0"):
        EarlyStopping("auc", 0)
