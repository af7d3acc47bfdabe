"""What is said of how far a command is and how long it takes."""

import torch

from automtl.cli import console
from automtl.cli.progress import ConsoleReporter
from automtl.progress import _following
from automtl.progress._forecast import Forecast
from automtl.training.loop import StepEvent
from automtl.training.losses import Losses
from tests.cli.terminal import plain

NOTHING = Losses(torch.tensor(0.25), torch.zeros(2), torch.ones(2), ())


def event(epoch, step, steps=10, **more):
    return StepEvent(epoch, step, steps, 100, NOTHING, **more)


def walk(forecast, epochs, seconds, judging, start=0.0, **more):
    """Steps of some seconds and evaluations after each epoch; what is said after each step, and the
    clock.
    """
    said, now = [], start
    for epoch in range(epochs):
        for step in range(10):
            now += seconds
            said.append((forecast.step(event(epoch, step, **more), epochs, now), now))
        now += judging
    return said, now


def test_after_an_epoch_what_is_left_counts_evaluations():
    said, end = walk(Forecast(0.0), 4, 1.0, 5.0)
    for (share, left), now in said[12:]:
        assert abs(now + left - end) < 1e-9, share
    assert [share for (share, _), _ in said] == [(i + 1) / 40 for i in range(40)]
    assert said[0][0][1] is None, "of one step nobody knows its time"
    assert said[5][0][1] == 34.0 and not Forecast(0.0).judged, "before, of steps alone"


def test_a_slower_epoch_is_seen_while_it_runs():
    forecast = Forecast(0.0)
    _, now = walk(forecast, 1, 1.0, 0.0)
    for step in range(6):
        now += 3.0
        _, left = forecast.step(event(1, step), 2, now)
    assert left == 4 * 3.0


def test_a_horizon_is_the_least_and_percent_never_falls():
    forecast, shares = Forecast(0.0), []
    # the first three epochs are each the best so far; patience 2
    for epoch, best in enumerate((0, 0, 1, 2, 2)):
        for step in range(10):
            share, left = forecast.step(
                event(epoch, step, horizon=best + 3), 50, 10.0 * epoch + step
            )
            shares.append(share)
    assert shares == sorted(shares) and shares[-1] == 1.0 and left == 0.0


def test_parts_and_trainings_to_come_are_counted():
    forecast = Forecast(0.0)
    forecast.count = 2
    said, now = walk(forecast, 2, 1.0, 0.0, part=0, parts=2, stage="click")
    assert said[-1][0][0] == 0.25
    assert said[15][0][1] == 4 + 20 + 40
    more, now = walk(forecast, 2, 1.0, 0.0, start=now, part=1, parts=2, stage="buy")
    assert more[-1][0] == (0.5, 40.0)
    forecast.training(1, now)
    more, now = walk(forecast, 2, 1.0, 0.0, start=now, part=0, parts=2, stage="click")
    assert more[-1][0] == (0.75, 20.0)


def test_a_resumed_epoch_counts_from_where_it_began():
    forecast = Forecast(0.0)
    forecast.step(event(3, 8), 5, 1.0)
    forecast.step(event(3, 9), 5, 2.0)
    forecast.step(event(4, 0), 5, 3.0)
    assert forecast.judged
    assert forecast.step(event(4, 1), 5, 4.0)[1] == 8.0


def test_lines_elsewhere_than_on_a_terminal(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr(_following.time, "monotonic", lambda: now[0])
    reporter = ConsoleReporter()
    for number in range(2):
        reporter.training(number, 2)
        for step in range(10):
            now[0] += 10.0
            reporter.step(event(0, step, horizon=1), 50)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == (
        "  training 1 of 2, epoch 1, step 4 of 10: 20%, 10 rows/s, 0:40 elapsed, >2:40 left"
    )
    assert len(lines) == 5 and "training 2 of 2, epoch 1, step 6 of 10: 80%" in lines[-2]


def test_the_bar_fits_and_tells_losses_beside_the_constant(monkeypatch, capfd):
    made = console.Console(
        width=80, stderr=True, force_terminal=True, color_system=None, highlight=False
    )
    monkeypatch.setattr(console, "_err", made)
    with ConsoleReporter() as reporter:
        reporter.training(0, 2)
        for step in range(10):
            reporter.step(event(0, step, horizon=6), 50)
        reporter.epoch(
            "retrain",
            {"loss": {"total": 0.5}, "validation": {"loss": 0.625, "tasks": {}, "constant": 0.75}},
        )
        reporter.step(event(1, 0, horizon=4), 50)
        reporter._bar.refresh()
    said = plain(capfd.readouterr().err)
    assert "training 1 of 2, epoch 2" in said and "14%" in said and "elapsed" in said
    assert "batch 0.2500, train 0.5000, validation 0.6250, constant 0.7500\n" in said
    assert "stops after 3 more epochs without gain\n" in said
    assert max(map(len, said.splitlines())) <= 80
