"""Which changed copies of a winner are trained, in which order, and what is told of them."""

from dataclasses import replace

import pytest
import torch

from automtl.phases.race import _checks
from automtl.phases.race._answer import better, words_of_better
from automtl.phases.race._checks import Check, Checks
from automtl.phases.race._compare import Gap
from automtl.phases.race._patterns import Pattern
from automtl.phases.race._verdicts import _checked
from automtl.phases.race.entrants import Entrant
from automtl.phases.race.race import Race
from automtl.phases.search import search
from automtl.runs import checkpoint
from automtl.runs.decided import headline
from automtl.runs.run_dir import RunDir
from automtl.spaces.architecture import Sharing
from automtl.spaces.decisions import Decision
from automtl.strategies.encoding import Genome, SpaceEncoding
from tests.phases.stopping import stop
from tests.phases.test_race import config, dataset, raced  # noqa: F401 # fixtures
from tests.support import Stop, small_schema, small_space


class _AllWorse:
    """A table in which every changed copy is trained, and worse."""

    @staticmethod
    def checked(candidate, seeds):
        return True

    @staticmethod
    def against(first, second, family):
        return Gap(0.1, 0.05, 0.15, apart=True, tied=False)


def _checks_of(genome, runners_up, monkeypatch, most):
    def made(kind, name, architecture, session):
        return Entrant(kind, name, architecture, 1, 1, 0.0)

    monkeypatch.setattr(_checks, "make_entrant", made)
    encoding = SpaceEncoding(small_space(chosen_experts=2), small_schema(), Sharing())
    winner = Entrant("proposal", "it", encoding.architecture(genome), 1, 1, 0.0)
    named = {name: str(encoding.operations(name)[pick]) for name, pick in runners_up.items()}
    return Checks(winner, named, encoding, None, most, others=1)


def test_the_interaction_then_all_others_then_one_by_one(monkeypatch):
    blocks = [f"level0.pool.{e}.block.0" for e in range(3)]
    changed = dict.fromkeys(["interaction.0", *blocks], 1)
    for most in range(6):
        checks = _checks_of(Genome((0,) * 7, ((0, 1), (1, 2))), changed, monkeypatch, most)
        judged, following = checks.look(_AllWorse, 3)
        groups = [tuple(check.choices) for check in judged]
        whole = [("interaction.0",), tuple(blocks), *((name,) for name in blocks)]
        assert groups == whole[:most] and following is None
        assert checks.family == (4 + 1 + 1 if most else 1), "each, the group, and the pattern"


@pytest.mark.parametrize("tied", [True, False])
def test_what_matters_only_with_others_is_not_tied(tied):
    """Two choices that stand in for each other: each alone is no loss, both together are."""
    worse = Check({"a": "skip", "b": "skip"}, None, Gap(0.1, 0.05, 0.15, apart=True, tied=False))
    alone = Check({"a": "skip"}, None, Gap(0.0, -0.1, 0.1, apart=False, tied=tied))
    believed = Decision("a", "gate", None, "not decided", "drawn")
    told = _checked(believed, [worse, alone], "3 trainings of each", True)
    assert (told.verdict, told.reason) == ("not decided", "only together")
    assert "with 1 other choice the model is worse" in told.evidence
    assert "none is shown to matter alone" in headline([told.plain], raced=True)


def test_two_experts_that_swap_are_the_same_model_and_are_changed_alone(monkeypatch):
    """The group was passed over, and its choices with it."""
    first, second = (f"level0.pool.{e}.block.0" for e in (0, 1))
    genome = Genome((0, 0, 0, 1, 0, 2, 0), ((0, 1), (0, 1)))
    checks = _checks_of(genome, {first: 1, second: 0}, monkeypatch, 4)
    judged, _ = checks.look(_AllWorse, 3)
    assert [tuple(check.choices) for check in judged] == [(first,), (second,)]


def test_the_best_copy_that_is_better_than_the_winner_is_told_of():
    gap = Gap(-0.02, -0.03, -0.01, apart=True, tied=False)
    entrant = Entrant("variant", "winner but for skip at expert 1, block 0", None, 1, 1, 0.0)
    copy = Check({"level0.pool.1.block.0": "skip"}, entrant, gap)
    less = Pattern(entrant, replace(gap, difference=-0.015))
    worse = replace(copy, gap=replace(gap, difference=0.02, low=0.01, high=0.03))
    assert better([worse, copy, replace(copy, gap=None)], [less]) is copy
    said = "(winner but for skip at expert 1, block 0) is shown to be better by 0.02000: the winner"
    assert said in words_of_better(copy)
    assert better([worse], []) is None


def test_an_older_version_amid_a_check_has_that_copy_trained_anew(
    dataset,  # noqa: F811
    raced,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """Its state does not name the copy, which may be another one by today's rule."""
    made, out = config(dataset, checkpoint_every_steps=1), tmp_path / "run"
    judged = Race._judged
    with monkeypatch.context() as patched, pytest.raises(Stop):
        patched.setattr(
            Race, "_judged", lambda r, job: stop() if job.stage == "check" else judged(r, job)
        )
        search(made, out=out)
    phase = RunDir(out).search
    state = checkpoint.load(last := phase.checkpoint("last"))
    assert state["race"].pop("candidate") and state["race"]["step"] > 0
    state["race"]["model"] = {"of": torch.zeros(1)}  # another copy's
    checkpoint.save(last, state)
    search(made, out=out, resume=True)
    assert phase.race.read_bytes() == RunDir(raced.run).search.race.read_bytes()
