"""The table of balancing methods: shares, refusals, and what the config offers of it."""

from types import SimpleNamespace

import pytest

from automtl import config_retrain
from automtl.errors import ConfigError
from automtl.training.balancing import balancers, check_balancing, make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.balancing.balancers import METHODS, SURGERY
from tests.training.test_balancer import TASKS, Quadratics


def test_shares_are_the_data_sets_or_the_settings_or_even():
    net = Quadratics()
    shares = {
        m: make_balancer(BalancingSettings(m), TASKS, net).shares
        for m in ("fixed", "equal", "pcgrad")
    }
    assert shares == {"fixed": (0.25, 0.75), "equal": (0.5, 0.5), "pcgrad": (0.25, 0.75)}
    made = make_balancer(BalancingSettings("fixed", weights={"click": 9.0}), TASKS, net)
    assert made.shares == (0.75, 0.25)
    losses = net.losses()
    means = [p.item() for p in losses.parts]
    assert made.loss(losses).item() == pytest.approx(0.75 * means[0] + 0.25 * means[1], rel=1e-12)


def test_a_missing_extra_and_an_unknown_task_are_refused(monkeypatch):
    monkeypatch.setattr(
        balancers, "find_spec", lambda module: None if module == "cvxpy" else SimpleNamespace()
    )
    with pytest.raises(
        ConfigError,
        match=r"cagrad needs its extra, got no package cvxpy; pip install 'automtl\[balancing\]'",
    ):
        check_balancing(BalancingSettings("cagrad"), ["click"])
    check_balancing(BalancingSettings("pcgrad"), ["click"])
    with pytest.raises(
        ConfigError,
        match="weights: must name the data set's tasks, got 'clik'; did you mean 'click'",
    ):
        check_balancing(BalancingSettings(weights={"clik": 1.0}), ["click"])


def test_the_config_offers_what_there_is():
    section = config_retrain.BalancingSection
    assert section.model_fields["method"].annotation.__args__ == METHODS
    assert sorted(section.model_fields) == sorted(BalancingSettings.__dataclass_fields__)
    assert sorted(balancers.NEEDED) == sorted(SURGERY)
    for name, methods in config_retrain._BALANCING.items():
        default = getattr(BalancingSettings(), name)
        value = {"click": 1.0} if name == "weights" else default
        for method in METHODS:
            if method in methods:
                assert section(method=method, **{name: value}).given()[name] == value
            else:
                with pytest.raises(ValueError, match=f"balancing.{name}: belongs to method"):
                    section(method=method, **{name: value})
