"""A step that ranks share is that of one process over all their rows."""

import pytest
import torch

from tests.ranks.steps import CASES, NOISY, ROWS, SHORT, alone, apart, on_ranks

LOOSE = {"balancing cagrad": 1e-5, "balancing mgda": 1e-5}  # solved by iteration
UNION, LOSS, BUCKET, TABLE = 2, 1, 1, 2  # collectives


def alike(ranks):
    return all(torch.equal(ranks[0][n], other[n]) for other in ranks[1:] for n in other)


def need_equal(found, names):
    for name in names:
        assert alike(found[name]), f"{name}: copies must not drift apart"
        one, difference = alone(name), apart(alone(name), found[name][0])
        assert difference < LOOSE.get(name, 1e-12), f"{name}: {difference}"
        assert "bad" in one or sum(bool(value.any()) for value in one.values()) > 5


def test_two_ranks_make_the_step_of_one_process(tmp_path):
    found = on_ranks(2, tmp_path, [*SHORT, *NOISY])
    need_equal(found, SHORT)
    for name in NOISY:
        assert alike(found[name]), f"{name}: row noise must not make copies drift apart"
    assert int(found["nan skipped"][0]["skipped"]) == 1, "by all ranks"
    assert found["nan stops"][0]["bad"].tolist() == list(range(ROWS)), "all rows of the step"
    # two epochs of two steps: alpha, then weights
    assert int(found["darts"][0]["calls"]) == 4 * (
        UNION + LOSS + BUCKET + UNION + LOSS + BUCKET + TABLE
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_every_strategy_kind_and_balancing(tmp_path, size):
    names = list(CASES)
    (tmp_path / "again").mkdir()
    found = on_ranks(size, tmp_path, names)
    need_equal(found, names)
    again = on_ranks(size, tmp_path / "again", ["darts", *NOISY])
    assert alike([found["darts"][0], again["darts"][0]]), "twice the same bits"


@pytest.mark.slow
def test_row_noise_repeats_itself_and_is_each_ranks_own(tmp_path):
    (tmp_path / "again").mkdir()
    one, other = (on_ranks(2, folder, list(NOISY)) for folder in (tmp_path, tmp_path / "again"))
    for name in NOISY:
        assert alike([*one[name], *other[name]])
        assert apart(one[name][0], on_one(name)) > 1e-6


def on_one(name):
    from automtl.ranks import ALONE

    return NOISY[name](ALONE)
