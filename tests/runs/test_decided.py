"""The words on what a search decided."""

import pytest

from automtl.runs import decided


def made(verdict, choice="interaction.0", **values):
    held = {"choice": choice, "taken": "gate", "runner_up": "skip", "evidence": "one supernet"}
    return {**held, "verdict": verdict, "difference": None, "alpha": None, **values}


def test_all_some_and_none():
    whole = [made("decided"), made("decided", "level0.pool.1.block.0")]
    assert decided.headline(whole, raced=True) == "decided: all of 2 choices"
    assert decided.all_decided(whole) and decided.title(whole) == "found"
    some = [*whole, made("tied", "level0.pool.2.block.1"), made("not decided", "experts of buy")]
    assert decided.headline(some, raced=True) == (
        "2 of 4 choices decided; interaction 0: gate, expert 1, block 0: gate; 1 tied (expert 2, "
        "block 1: gate ~ skip); 1 not decided"
    )
    assert decided.title(some) == "searched"
    tied = [made("tied"), made("not decided", "x")]
    assert decided.headline(tied, raced=True).startswith("none of 2 choices decided; 1 tied")
    alike = [made("tied", "experts of buy", taken="0, 1", runner_up=None)]
    assert decided.headline(alike, raced=True).endswith("1 tied (experts of buy: 0, 1)")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            [{"alpha": "moving"}, {"alpha": "settled", "evidence": "x"}],
            "and alpha still moves in 1",
        ),
        (
            [{"alpha": "unknown"}, {"alpha": "unknown", "evidence": "x"}],
            "and in 2 it is not known whether alpha still moves, after so few passes",
        ),
        (
            [{"alpha": "unknown"}, {"alpha": "moving", "evidence": "x"}],
            "and alpha still moves in 1, in 1 it is not known whether it does, after so few passes",
        ),
        ([{}, {"evidence": "a draw"}], "no candidate was trained alone"),
        ([{}, {}], "of 2 choices: one supernet"),
        ([{"difference": 0.1}, {}], "the trainings show no difference"),
        ([{}], "of 1 choice: one supernet"),
    ],
)
def test_nothing_is_said_first_and_why(values, words):
    told = decided.headline([made("not decided", **v) for v in values], raced=False)
    assert told.startswith("nothing is decided, of ") and words in told


def test_a_race_that_decided_nothing_is_not_said_to_have_trained_nothing():
    """It was: its reason was taken from alpha, which says nothing of trainings."""
    reasons = ["no task takes this expert", *["the winner is not shown to be better"] * 2]
    told = decided.headline(
        [made("not decided", evidence=reason, alpha="moving") for reason in reasons], raced=True
    )
    assert told == "nothing is decided, of 3 choices: the winner is not shown to be better"


def test_a_better_runner_up_is_no_missing_difference():
    better = made("not decided", difference=-0.02, low=-0.03, high=-0.01)
    told = decided.headline([made("not decided"), better], raced=True)
    assert told.endswith("trainings show that another choice is better")


@pytest.mark.parametrize("verdict", ["decided", "not decided"])
def test_a_better_copy_is_told_first_where_there_is_one(verdict):
    """Older races showed one, too, and kept no file of it."""
    held = [made(verdict), made("not decided", difference=-0.02, low=-0.03, high=-0.01)]
    with_copy = {"decisions": held, "race": {**RACE, "better": "winner but for skip"}}
    said, advice = decided.sentence_and_advice(with_copy)
    assert decided.BETTER in said and "search/better.json" in advice
    assert (said.startswith(decided.BETTER)) == (verdict == "decided")
    said, advice = decided.sentence_and_advice({"decisions": held, "race": RACE})
    assert decided.BETTER not in said and "better.json" not in advice


def test_choices_that_matter_together_are_no_missing_difference():
    together = made("not decided", reason="together")
    open_one = made("not decided", "x", difference=0.1, low=-0.1, high=0.3)
    told = decided.headline([together, open_one], raced=True)
    assert told.endswith("some matter together, and none is shown to matter alone")
    assert "checks (search.race_checks), " in decided.advice([together, open_one], RACE)
    assert "search.race_checks" not in decided.advice([open_one], RACE)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (
            {"apart": False, "seeds_needed": 14},
            "(search.race_seeds: about 14 would tell the winner",
        ),
        *(
            (
                {"apart": False, "seeds_needed": many},
                "search.race_epochs), since 100 seeds would not",
            )
            for many in (101, None, "14")
        ),
        ({"apart": False}, "(search.race_seeds), or"),  # of 0.2.0
        ({"apart": True, "seeds_needed": 2}, "(search.race_seeds), or"),
        (7, "(search.race_seeds), or"),
    ],
)
def test_how_many_seeds_would_tell_the_winner_apart(second, words):
    race = {**RACE, "runner_up": second}
    told = decided.advice([made("not decided")], race)
    assert words in told and ("race_seeds" in told) == ("100" not in told), "more cannot be set"
    none = decided.advice([made("not decided")], {**race, "beats_constant": False})
    assert "(search.race_seeds), or" in none


def test_a_race_stopped_amid_its_checks_is_to_be_gone_on_with():
    held = made("not decided", reason="stopped")
    assert "--resume" in decided.advice([held], RACE)


def test_a_tie_is_told_of_where_there_is_one():
    assert BY_COST in decided.advice([made("tied")], {**RACE, "rival": APART})
    assert BY_COST not in decided.advice([made("not decided")], {**RACE, "rival": APART})


RACE = {"kind": "proposal", "beats_constant": True, "rival": None, "finalists": {}}
APART = {"name": "mmoe", "apart": True}
BY_COST = "a tie may be taken by its cost"


def test_what_would_help():
    moving = [made("not decided", alpha="moving")]
    assert "search.selection=race" in decided.advice(moving, {})
    assert "search.epochs" in decided.advice(moving, {})
    assert "search.epochs" not in decided.advice([made("not decided")], {})
    assert "search.race_seeds" in decided.advice(moving, RACE)
    assert decided.advice([made("decided")], RACE) == "" == decided.advice([], {})


@pytest.mark.parametrize(
    ("race", "words"),
    [
        ({}, "no hand-made model ran beside: compare it with shared_bottom"),
        (
            {"rival": {**APART, "apart": False}},
            "or take mmoe, not told apart from what was searched",
        ),
        ({"rival": APART}, BY_COST),  # shown to be better than the hand-made ones
        ({"rival": {"name": "mmoe"}}, BY_COST),  # its training was not finite
        ({"rival": {"name": {"a": 1}, "apart": False}}, BY_COST),
        ({"kind": "rival"}, BY_COST),  # the winner needs no search as it is
        ({"beats_constant": False}, BY_COST),
    ],
)
def test_where_nothing_is_decided_the_hand_made_model_that_ran_is_offered(race, words):
    held = {"decisions": [made("not decided"), made("tied")], "race": {**RACE, **race}}
    assert f"; {words}" in decided.sentence_and_advice(held)[1]
    some = {**held, "decisions": [made("decided"), made("tied")]}
    assert BY_COST in decided.sentence_and_advice(some)[1]


def test_a_race_that_was_stopped_is_to_be_gone_on_with():
    stopped = {"winner": "control 1", "kind": "control", "words": ["the race was stopped"]}
    assert (
        "--resume"
        in decided.sentence_and_advice({"decisions": [made("not decided")], "race": stopped})[1]
    )


@pytest.mark.parametrize(
    "held",
    [
        {},
        {"decisions": 5},
        {"decisions": [5, {}, {"verdict": "decided"}, made("sure"), {**made("tied"), "taken": 3}]},
    ],
)
def test_what_is_no_decision_is_passed_over(held):
    assert decided.decisions_of(held) == []
    assert decided.headline(decided.decisions_of(held), raced=False) == decided.UNKNOWN


def test_a_table_row_holds_the_interval_or_says_that_there_is_none():
    [row] = decided.rows([made("decided", difference=0.02, low=0.01, high=0.03)])
    assert row[4] == "+0.02000 (+0.01000 to +0.03000)"
    [row] = decided.rows([made("not decided", alpha="moving")])
    assert row[4] == "not measured" and row[5] == "one supernet; alpha moving"


def test_what_no_task_uses_is_no_choice():
    """It counted as "not decided", and kept all others from being "found"."""
    idle = made("not decided", "level0.pool.1.block.0", reason="idle")
    held = [made("decided"), idle]
    assert decided.headline(held, raced=True) == (
        "decided: all of 1 choice (1 more of experts that no task uses)"
    )
    assert decided.all_decided(held) and decided.title(held) == "found"
    assert decided.advice(held, RACE) == ""
    assert decided.headline([idle], raced=True) == decided.IDLE
    assert decided.sentence_and_advice({"decisions": []})[0] == decided.NO_CHOICE
    assert not decided.all_decided([idle])


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        ("no task uses this expert, so nothing depends on it", "idle"),
        ("finalists have it, and it was not checked (search.race_checks)", "unchecked"),
        (
            "changed with 2 other choices, the model is worse; which of them, was not checked "
            "(search.race_checks)",
            "together",
        ),
        ("which of them, was not checked before the race was stopped", "stopped"),
        ("changed alone, no difference is shown; 3 trainings of each", None),
    ],
)
def test_older_files_tell_their_reasons_in_the_evidence(evidence, reason):
    [told] = decided.decisions_of({"decisions": [made("not decided", evidence=evidence)]})
    assert told["reason"] == reason
    assert decided.decisions_of({"decisions": [{**told, "reason": "idle"}]})[0]["reason"] == "idle"
