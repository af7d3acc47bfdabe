"""Resuming from checkpoints whose sums are right and whose content is not: a stranger sealed them
himself.
"""

import re
import shutil
import zlib

import pytest

from automtl.config_search import SearchSection
from automtl.errors import ArtifactError
from automtl.phases.search import search
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir
from tests.phases.stopping import After, config, plan, stop, train
from tests.phases.strange import strange
from tests.support import Stop, write_dataset

SEARCHES = {
    "darts": ((), 6),
    "lazy gradnorm": (
        ("search.embedding_optimizer=lazy_adam", "search.balancing.method=gradnorm"),
        2,
    ),
    "evolution": (("search.strategy=evolution",), 4),
    "random_search": (("search.strategy=random_search",), 3),
    # no supernet is trained: six steps of each of three candidates, of two finalists' first seed,
    # then a pass and one step of the second
    "race": (
        (
            "search.strategy=random_search",
            "search.selection=race",
            "search.race_candidates=2",
            "search.race_controls=1",
            "search.race_finalists=2",
            "search.race_seeds=2",
            "search.race_epochs=2",
            "search.race_checks=1",
            "search.rivals=[]",
            "retrain.batch_size=64",
        ),
        35,
    ),
}
RETRAINS = {
    "mmoe": (("retrain.balancing.method=uncertainty",), 6),
    "mome": (
        (
            "sharing.masks=2",
            "sharing.neuron_epochs=1",
            "sharing.weight_epochs=1",
            "sharing.lambda_neuron=1",
        ),
        10,
    ),
    "single_task": ((), 14),
}
# What a stranger may choose, since nothing says that it is not what training gave: (place, what was
# done)
HIS_OWN = (
    (r"history\.\d+\.choices(\.[^ ]*)?", "one more|left out|a mapping|-5|.*"),
    (r"history\.\d+\.(b_loss|skip_chosen|eigenvalue)", "None|left out"),
    (r"history\.\d+\.expert_usage(\..*)?", ".*"),
    (r".*\.(state|optimizer\.state)\.\d+", "left out"),  # moments of one parameter
    (r".*param_groups\..*", "1"),  # in place of true; what is used is the run's own
    # metrics of before
    (r"parts\.0\.start\.tasks\.\w+(\.\w+)?", "one more|left out|None|-5|1.5|10{8}"),
    (r"parts\.0\.start", "nothing"),  # as after the first epoch of a later phase
    (r".*num_batches_tracked", "below"),  # nothing reads it
    (r".*balancer\.first", "nan"),  # of tasks that were not seen yet
    (r".*balancing(\.\w+)?", "left out|10{8}"),  # nothing, then
    (r"parts\.0\.frozen", "left out|None"),  # as older versions
    (r"metric_sum", "'another'"),  # then the lines are at fault
    (r"race\.sum", "'another'"),
    (r"race", "nothing"),  # as before the race
)


def his_own(place, done):
    return any(re.fullmatch(where, place) and re.fullmatch(what, done) for where, what in HIS_OWN)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def made(dataset, *sets):
    """Settings; a race over draws is refused what is of a supernet, so that it has defaults there."""
    given = config(dataset, *sets)
    if given.search.selection != "race":
        return given
    default = SearchSection()
    same = {name: getattr(default, name) for name in given.search.idle}
    return given.model_copy(update={"search": given.search.model_copy(update=same)})


def meet(cut, file, resume, share, tmp_path):
    """Resume from every sampled strange state: refused in one line that names the file, or, where
    it may be so, to the end.
    """
    honest, met = checkpoint.load(cut / file), 0
    wrong = []
    for number, (path, done, make) in enumerate(strange(honest)):
        place = ".".join(map(str, path))
        if zlib.crc32(f"{place} {done}".encode()) % share:
            continue
        case, met = tmp_path / str(number), met + 1
        shutil.copytree(cut, case)
        checkpoint.save(case / file, make())
        before = {p: p.read_bytes() for p in case.rglob("*") if p.is_file() and p.name != ".lock"}
        try:
            resume(case)
            if not his_own(place, done):
                wrong.append((place, done, "taken in"))
        except ArtifactError as error:
            told, named = str(error), f"{case / file}: must hold the state of this phase, got "
            if (
                "\n" in told
                or len(told) > 900
                or not (told.startswith(named) or his_own(place, done))
            ):
                wrong.append((place, done, told))
            if any(p.read_bytes() != held for p, held in before.items()):
                wrong.append((place, done, "a file was changed"))
        except Exception as error:  # the point of the test: nothing else may come
            wrong.append((place, done, repr(error)))
        shutil.rmtree(case)
    assert not wrong, f"{len(wrong)} of {met}:\n" + "\n".join(map(str, wrong))
    return met


SHARES = [pytest.param(100, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", SEARCHES)
def test_a_strange_state_of_a_search_is_refused_by_name(name, share, dataset, tmp_path):
    sets, steps = SEARCHES[name]
    with pytest.raises(Stop):
        search(made(dataset, *sets), out=tmp_path / "cut", reporter=After(steps, stop))
    file = PhaseDir(tmp_path / "cut/search").checkpoint("last").relative_to(tmp_path / "cut")
    met = meet(
        tmp_path / "cut",
        file,
        lambda case: search(made(dataset, *sets), out=case, resume=True),
        share,
        tmp_path,
    )
    assert met > (1 if share > 1 else 200)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", RETRAINS)
def test_a_strange_state_of_a_retrain_is_refused_by_name(kind, share, dataset, tmp_path):
    sets, steps = RETRAINS[kind]
    with pytest.raises(Stop):
        train(plan(dataset, kind, tmp_path / "cut", *sets), reporter=After(steps, stop))
    (folder,) = (tmp_path / "cut/retrain").iterdir()
    file = PhaseDir(folder).checkpoint("last").relative_to(tmp_path / "cut")
    met = meet(
        tmp_path / "cut",
        file,
        lambda case: train(plan(dataset, kind, case, *sets, resume=True), resume=True),
        share,
        tmp_path,
    )
    assert met > (1 if share > 1 else 200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric_lines": 9}, r"search\.metric_lines: must be 1, got 9"),
        ({"history": []}, r"search\.history: must be 1 lines, epoch after epoch, got epochs \[\]"),
    ],
)
def test_a_state_of_other_lines_than_its_epochs_says_which(change, message, dataset, tmp_path):
    settings = made(dataset)
    with pytest.raises(Stop):
        search(settings, out=tmp_path / "cut", reporter=After(6, stop))
    path = PhaseDir(tmp_path / "cut/search").checkpoint("last")
    checkpoint.save(path, {**checkpoint.load(path), **change})
    with pytest.raises(ArtifactError, match=message):
        search(settings, out=tmp_path / "cut", resume=True)
