"""What is said to Python users speaks Python: no flag of the command line is left in it."""

import ast
import re
import signal

import pytest

import automtl
from automtl.api._wording import in_python, speaks_python
from automtl.errors import AutoMTLError, EnvironmentFault, Interrupted
from tests.api.shop import BRIEF
from tests.house import package_sources

# what is no message: files that are written, words for other programs, the command line's own
ELSEWHERE = ("automtl.cli", "automtl.api", "automtl.data.raw.download", "automtl.runs.manifest")
FLAG = re.compile(r"(?<![\w-])--[a-z]")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("go on with --resume from last", "go on with resume=True from last"),
        ("choose another --out, or remove it", "choose another out, or remove it"),
        ("for example --data census_income", 'for example data="census_income"'),
        ("for example --set search.epochs=3", 'for example search={"epochs": 3}'),
        ("--set runtime.precision=float32, or auto", 'runtime={"precision": "float32"}, or auto'),
        ("use --device cpu or auto", 'use runtime={"device": "cpu"} or auto'),
        ("leave them out with --on-nan skip", 'leave them out with runtime={"on_nan": "skip"}'),
        ("use --format pt2 or python", 'use format="pt2" or python'),
        ("add --plugin mine.py", 'add automtl.load_plugin("mine.py")'),
        ("run `automtl retrain` first", "run `automtl.retrain` first"),
        ("within --time-limit", "within time_limit_s"),
        ("needs --out", "needs out"),
        ("must be finite and above 0", "must be finite and above 0"),
        ("a long-term plan -- or two", "a long-term plan -- or two"),
    ],
)
def test_a_message_in_python(said, wanted):
    assert in_python(said) == wanted
    assert in_python(wanted) == wanted, "what is said twice is said once"


def messages():
    """Every text below the command line that names a flag."""
    for source in package_sources():
        if source.name.startswith(ELSEWHERE):
            continue
        docs = {id(node.body[0].value) for node in ast.walk(source.tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
        for node in ast.walk(source.tree):
            said = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if isinstance(said, str) and id(node) not in docs and FLAG.search(said):
                yield f"{source.path.name}: {said}"


def test_no_message_keeps_a_flag():
    found = list(messages())
    assert len(found) > 30
    assert [text for text in found if FLAG.search(in_python(text))] == []


@pytest.mark.parametrize(
    "call",
    [
        lambda path: automtl.retrain("mmoe"),
        lambda path: automtl.search("census_income", resume=True),
        lambda path: automtl.search("census_income", budget="soon"),
        lambda path: automtl.compare(path, margin=-1),
        lambda path: automtl.rank(path, samples=1),
        lambda path: automtl.pareto(path, points=1),
        lambda path: automtl.pareto(path, of="money"),
        lambda path: automtl.export(path, "onx"),
        lambda path: automtl.open(path / "nothing"),
        lambda path: automtl.report(path, path="report.pdf"),
        lambda path: automtl.describe("nothing"),
    ],
)
def test_errors_of_each_call_speak_python(call, found):
    with pytest.raises(AutoMTLError) as caught:
        call(found.run)
    assert not FLAG.search(str(caught.value)), str(caught.value)
    where = f"{caught.value.where}: {caught.value.rule}"
    assert str(caught.value).startswith(where), "its parts and its text are one"


def test_a_fault_keeps_its_class_and_its_status():
    @speaks_python
    def fail():
        raise EnvironmentFault("/x", "must be writable", "no", "set it, or --data-dir, elsewhere")

    with pytest.raises(EnvironmentFault, match="set it, or data_dir, elsewhere") as caught:
        fail()
    assert caught.value.exit_code == 3 and isinstance(caught.value, OSError)


def test_ctrl_c_is_a_keyboard_interrupt_that_says_how_to_go_on():
    @speaks_python
    def stop(number):
        raise Interrupted(number, "runs/a", "epoch 3 is kept")

    with pytest.raises(
        KeyboardInterrupt, match=r"epoch 3 is kept; go on with resume=True, out='runs/a'"
    ):
        stop(signal.SIGINT)
    with pytest.raises(Interrupted):
        stop(signal.SIGTERM)


def test_a_second_retrain_of_the_same_seed_says_what_to_do(models):
    with pytest.raises(
        AutoMTLError, match="must not exist yet, got an existing one; choose another out"
    ):
        automtl.retrain(models.home, seeds=[0], **BRIEF)
