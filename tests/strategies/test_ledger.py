"""What a search spends: by hand, and on every path against torch's own count of the net that ran."""

import math

import numpy as np
import pytest
import torch

from automtl.errors import AutoMTLError
from automtl.models.cost import flops_per_row
from automtl.strategies.ledger import Ledger, Price, SupernetPrices, price_of
from automtl.strategies.protocol import make_encoding
from automtl.strategies.registry import STRATEGIES
from tests.strategies.contexts import FAST, search, small_context
from tests.support import small_space


def test_rows_cost_by_their_use():
    ledger = Ledger()
    ledger.add("train", 10, 100, 0.5)
    ledger.add("alpha", 4, 100, 0.5)
    ledger.add("score", 7, 1000, 0.25)
    assert ledger.figures() == {
        "flops_spent": 3 * 10 * 100 + 2 * 4 * 100 + 7 * 1000,
        "reference_seconds": 15 + 4 + 1.75,
        "rows": {"train": 10, "alpha": 4, "score": 7},
    }
    for kind, passes in (("outer", 3), ("inner_exact", 9), ("inner_finite", 7)):
        other = Ledger()
        other.add(kind, 2, 5, 1.0)
        assert (other.flops, other.seconds) == (passes * 10, passes * 2)


def test_a_ledger_goes_on_from_its_state():
    ledger, other = Ledger(), Ledger()
    ledger.add("alpha", 3, 7, 0.5)
    other.load_state_dict(ledger.state_dict())
    for each in (ledger, other):
        each.add("train", 1, 7, 0.5)
    assert other.figures() == ledger.figures()


NOTHING = Ledger().state_dict()
ROWS = NOTHING["rows"]


@pytest.mark.parametrize(
    "state",
    [
        [],
        None,
        {"rows": ROWS, "flops": 1},
        {**NOTHING, "rows": {}},
        {**NOTHING, "rows": {**ROWS, "train": -1}},
        {**NOTHING, "rows": {**ROWS, "eat": 1}},
        {**NOTHING, "seconds": math.nan},
        {**NOTHING, "seconds": None},
        {**NOTHING, "flops": -1},
    ],
)
def test_what_is_no_state_of_a_ledger_is_refused(state):
    with pytest.raises(AutoMTLError):
        Ledger().load_state_dict(state)


@pytest.mark.parametrize("space", [small_space(), small_space(widths="nested")])
def test_a_path_costs_what_torch_counts(space):
    m = small_context(space=space)
    net = m.make_supernet()
    prices, encoding = SupernetPrices(net, m.schema), make_encoding(m)
    assert prices() == prices.mixture and prices().flops == flops_per_row(net, m.schema)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(8):
        encoding.set(net, encoding.draw(rng))
        for decided in (True, False):  # the last block mixed again
            list(net.choice_blocks())[-1].path = 0 if decided else None
            price = prices()
            assert price.flops == flops_per_row(net, m.schema)
            assert 0 < price.seconds <= 3 * prices.mixture.seconds
            seen.add(price.flops)
    assert len(seen) > 4 and max(seen) < prices.mixture.flops
    net.mix_all()
    assert prices() == prices.mixture


def test_seconds_follow_what_is_computed():
    m = small_context()
    prices = SupernetPrices(net := m.make_supernet(), m.schema)
    blocks = list(net.blocks().items())
    for _, block in blocks:
        block.path = 0
    first = prices().seconds
    name, block = blocks[-1]
    times = prices._path
    seconds = times.candidates[name]
    for pick, own in enumerate(seconds):
        block.path = pick
        assert prices().seconds == pytest.approx(first - seconds[0] + own)
    mixed = sum(sum(own) for own in times.candidates.values()) * times.mixed
    assert times.rest + mixed == pytest.approx(max(prices.mixture.seconds, times.rest))


def test_pricing_leaves_no_trace():
    m = small_context(space=small_space(dropout=0.3, batch_norm=True))
    net = m.make_supernet().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    noise, own = m.generator.get_state(), torch.get_rng_state()
    threads = torch.get_num_threads()
    block = next(net.choice_blocks())
    prices = SupernetPrices(net, m.schema)
    assert not {"mixture", "_flops", "_path"} & set(vars(prices)), (
        "nothing is measured before it is asked for"
    )
    block.path, block.shares = 1, (shares := torch.ones(len(block.alpha)))
    first = prices()
    assert first.flops < prices.mixture.flops == flops_per_row(m.make_supernet(), m.schema)
    assert (
        block.path == 1
        and block.shares is shares
        and not any(module.training for module in net.modules())
    )
    assert all(b.path is None for b in list(net.choice_blocks())[1:])
    assert torch.equal(m.generator.get_state(), noise) and torch.equal(torch.get_rng_state(), own)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters()) and torch.get_num_threads() == threads


@pytest.mark.parametrize("name", [*STRATEGIES, "second_order", "perturbation"])
def test_every_strategy_reports_what_it_runs(name, monkeypatch):
    """Beside each report, torch's count of the net as it then stands."""
    options = {**FAST, "gradient_conflict": False, "second_order": name == "second_order"}
    options["selection"] = "perturbation" if name == "perturbation" else "argmax"
    m = small_context(options=options)
    expected = Ledger()
    strategy = STRATEGIES[{"second_order": "darts", "perturbation": "darts"}.get(name, name)](m)
    nets = [strategy.supernet]
    add = m.ledger.add

    def beside(kind, rows, flops, seconds):
        assert seconds > 0
        net = strategy.evaluated() if nets[0] is None else nets[0]
        expected.add(kind, rows, flops_per_row(net, m.schema), seconds)
        add(kind, rows, flops, seconds)

    monkeypatch.setattr(m.ledger, "add", beside)
    search(strategy)
    strategy.derive()
    assert m.ledger.figures() == expected.figures()
    rows = m.ledger.rows
    again = rows["inner_exact"] + rows["inner_finite"]
    assert sum(rows.values()) - again == strategy.samples
    fit, alpha = m.fit.num_rows, m.alpha.num_rows
    if name in ("darts", "snas", "gdas"):
        times, rest = divmod(len(m.fit) * strategy.epochs, len(m.alpha))
        assert rows == {"train": strategy.epochs * fit, "alpha": times * alpha + rest * 32}
    if name in ("darts", "snas"):
        flops = flops_per_row(strategy.supernet, m.schema)
        assert m.ledger.flops == flops * (3 * rows["train"] + 2 * rows["alpha"])
    if name == "second_order":
        assert rows["inner_exact"] == rows["train"] and rows["alpha"] == 0 < rows["outer"]
    if name == "perturbation":
        candidates = [len(block.alpha) for block in strategy.supernet.choice_blocks()]
        assert rows["score"] == m.scored.num_rows * sum(candidates)
    if name == "random_sampling":
        assert m.ledger.figures() == Ledger().figures()


def test_a_model_of_its_own_has_its_own_price():
    m = small_context()
    net = m.make_supernet()
    price = price_of(net, m.schema, rows=10**9)
    assert isinstance(price, Price) and price.flops == flops_per_row(net, m.schema)
    assert 0 < price.seconds < 1
