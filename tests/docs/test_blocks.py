"""Every command and code block of README.md and docs/ runs, page by page; see blocks.py for how."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from torch.distributed.run import get_args_parser

import automtl.api as api
from automtl.cli._app import app
from automtl.strict import parse_yaml
from tests.docs.blocks import (
    FIRST,
    KINDS,
    PAGES,
    START,
    TRAINED,
    blocks,
    commands,
    fast,
    run,
    run_page,
    unknown,
    write_clicks,
)
from tests.house import ROOT
from tests.support import without_plugins

RUN = [
    page
    for page in PAGES
    if any(
        b.info.split()[0] in {"bash", "python", "yaml"} and b.info != "bash checkout"
        for b in blocks(page)
    )
]


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """A folder per kind of start, made once."""
    made = {
        name: tmp_path_factory.mktemp(name) for name in ("nothing", "data", "searched", "trained")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(sys, "argv", sys.argv)
        write_clicks(made["data"])
        for name, before, lines in (("searched", "data", FIRST), ("trained", "searched", TRAINED)):
            shutil.copytree(made[before], made[name], dirs_exist_ok=True)
            patch.chdir(made[name])
            for line in lines:
                run(line.split(), f"start {name}")
        yield made


@pytest.fixture
def here(tmp_path, monkeypatch, starts):
    """An empty folder; what trains in Python trains briefly, and no plugin outlives the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(api, "search", fast(api.search))
    monkeypatch.setattr(api, "retrain", fast(api.retrain))
    with without_plugins():
        yield tmp_path


@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(page, here, starts):
    shutil.copytree(starts[START.get(page, "nothing")], here, dirs_exist_ok=True)
    if any(block.file == "clicks.yaml" for block in blocks(page)):
        (here / "clicks.yaml").unlink()
    run_page(page, {"automtl": __import__("automtl")})


@pytest.mark.parametrize("line", ["automtl show nothing", "automtl retrain clicks.csv", "rm -r x"])
def test_a_command_that_fails_fails_its_page(line, here):
    with pytest.raises(AssertionError):
        run(line.split(), "here")


def test_getting_started_ends_with_a_served_model_and_its_answers():
    text = "".join(
        block.text for block in blocks("docs/getting_started.md") if block.info == "bash"
    )
    order = [
        "data describe my.csv --draft",
        "search my.yaml",
        "retrain runs/first",
        "export runs/first",
        "predict served",
    ]
    assert sorted(order, key=text.index) == order
    assert "docs/getting_started.md" not in START, "it begins with nothing"


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_says_what_it_is(page):
    known = [
        b
        for b in blocks(page)
        if b.info in KINDS or re.fullmatch(r"(python|yaml) file=[\w.]+", b.info)
    ]
    assert [str(b) for b in blocks(page) if b not in known] == []
    fences = re.findall(r"^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


def test_what_is_only_looked_at_is_sound_and_there():
    looked_at = [b for page in PAGES for b in blocks(page) if b.info == "bash checkout"]
    for block in looked_at:
        assert (
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=False).returncode == 0
        ), block
        for words in commands(block.text):
            assert words[0] in {"pip", "automtl"} or (ROOT / words[0]).stat().st_mode & 0o100, (
                str(block),
                words,
            )
            assert words[0] != "automtl" or unknown(words) == [], str(block)


def test_the_recipes_for_several_machines_have_known_options_and_names():
    """They are never run: torchrun's options, automtl's, and the manifest's own references."""
    blocks_of = blocks("docs/scale.md")
    [manifest] = [b for b in blocks_of if b.info == "yaml"]
    service, job = parse_yaml(manifest.text, "manifest")["items"]
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [line] = container["args"]
    starts = [b.text for b in blocks_of if b.info == "text" and "torchrun" in b.text]
    assert len(starts) == 2
    for text in [*starts, line]:
        words = shlex.split(
            text.replace("\\\n", " ").replace("$(", " ").replace(")", " "), comments=True
        )
        start = words.index("torchrun")
        torchrun, rest = (
            words[start + 1 : words.index("-m", start)],
            words[words.index("-m", start) :],
        )
        known = get_args_parser()._option_string_actions
        assert all(w in known for w in torchrun if w.startswith("--")) and rest[1] == "automtl"
        assert unknown([w for w in rest[1:] if w not in ("-d", "&&")]) == []
    name = service["metadata"]["name"]
    assert job["metadata"]["name"] == name == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert f"--master-addr {name}-0.{name} " in line and "$JOB_COMPLETION_INDEX" in line
    assert f"--nnodes {job['spec']['completions']} " in line
    assert job["spec"]["parallelism"] == job["spec"]["completions"]
    assert f"--nproc-per-node {container['resources']['limits']['nvidia.com/gpu']} " in line
    assert {v["name"] for v in pod["volumes"]} == {m["name"] for m in container["volumeMounts"]}
    assert unknown(["automtl", "search", "x", "--worker", "2"]) == ["--worker"]


def test_the_example_on_a_dataframe_runs(here, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["example_dataframe.py", "--fast"])
    names = {"__name__": "__main__"}
    exec(
        compile(
            (ROOT / "scripts/example_dataframe.py").read_text(), "example_dataframe.py", "exec"
        ),
        names,
    )
    assert (
        list(names["scores"].columns) == ["user", "item", "probs_click", "probs_buy"]
        and len(names["scores"]) == 5
    )


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_and_into_the_tree_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert "://" in target or path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads
            }, f"{page}: {target}"


def test_completion_is_offered_and_shown():
    import typer.main

    assert {"--install-completion", "--show-completion"} <= {
        o for p in typer.main.get_command(app).params for o in p.opts
    }
    shown = subprocess.run(
        [sys.executable, "-c", "from automtl.cli.main " "import main; main()", "--show-completion", "bash"],
        capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert shown.returncode == 0 and "complete" in shown.stdout, shown.stderr
