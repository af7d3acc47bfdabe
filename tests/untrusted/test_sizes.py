"""Documents that are legal and would build gigabytes: refused before anything is built, in one line
that says where and what to do.
"""

import json
import resource
from pathlib import Path

import pytest

from automtl.bounds import MAX_SLOTS
from automtl.data.store.schema import Field, Schema, Task
from automtl.errors import ConfigError
from automtl.models import size
from automtl.models.derived import build_model
from automtl.models.supernet import build_supernet
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import SHARING
from automtl.strict import build
from tests.cli.test_errors import run
from tests.support import small_schema, small_space, write_dataset

SCHEMA = small_schema()
SKIP = {"blocks": ["skip"]}
LARGE = {
    "wide experts": (
        {"experts": [{"blocks": ["mlp(65536)"]}] * 1024, "projection": 65536},
        "most of them in the experts",
    ),
    "long experts": (
        {"experts": [{"blocks": ["conv1d(3)"] * 64}] * 1024},
        "more than 20,000 modules",
    ),
    "wide towers": ({"experts": [SKIP], "towers": [65536, 65536]}, "most of them in the towers"),
    "a wide projection": (
        {"experts": [SKIP], "embedding_dim": 4096, "projection": 65536},
        "most of them in the projection",
    ),
    "connections": (
        {
            "experts": [SKIP],
            "projection": 4096,
            "sharing": {"kind": "snr_trans", "settings": {"levels": 2, "experts": 64}},
        },
        "most of them in the experts",
    ),
    "masks": (
        {
            "experts": [{"blocks": ["mlp(4096)"]}],
            "projection": 4096,
            "sharing": {"kind": "mome", "settings": {"masks": 128}},
        },
        "most of them in the experts",
    ),
    "own models": (
        {
            "experts": [{"blocks": ["mlp(65536)"]}],
            "projection": 16384,
            "sharing": {"kind": "single_task"},
        },
        "most of them in the experts",
    ),
}


def refused(make, words):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError) as caught:
        make()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 400, "MiB"
    message = str(caught.value)
    assert words in message and len(message) < 600, message


@pytest.mark.parametrize("name", sorted(LARGE))
def test_a_legal_architecture_of_gigabytes_is_refused(name):
    document, words = LARGE[name]
    made = build(Architecture, document, "it")
    refused(lambda: build_model(made, SCHEMA), words)


def test_tables_of_gigabytes_are_refused():
    fields = (Field(name="user", kind="categorical", vocabulary_size=10**6),)
    schema = Schema(name="x", fields=fields, tasks=(Task(name="t", kind="binary"),))
    refused(
        lambda: build_model(
            build(Architecture, {"experts": [SKIP], "embedding_dim": 4096}, "it"), schema
        ),
        "embeddings",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {
                "num_experts": 256,
                "num_blocks": 64,
                "expert": tuple(f"conv1d({2 * i + 1})" for i in range(256)),
            },
            "modules",
        ),
        (
            {"expert_dim": 4096, "expert": ("mlp(65536)", "mlp(65535)"), "num_experts": 64},
            "experts",
        ),
        (
            {"interaction": tuple(f"mlp({65536 - i})" for i in range(256)), "embedding_dim": 4096},
            "interaction",
        ),
    ],
)
def test_a_legal_space_of_gigabytes_is_refused(changes, words):
    refused(lambda: build_supernet(small_space(**changes), SCHEMA), words)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ple", {"levels": 64, "task_experts": 1024, "shared_experts": 1024}),
        ("adatt", {"task_experts": 1024}),
        ("ml_mmoe", {"levels": 64}),
        ("snr_trans", {"experts": 1024, "levels": 2}),
        ("mssm", {"levels": 64}),
    ],
)
def test_places_for_experts_are_counted_before_they_are_listed(kind, settings):
    made = build(
        Architecture,
        {"experts": [SKIP] * 20, "sharing": {"kind": kind, "settings": settings}},
        "it",
    )
    schema = small_schema(20)
    refused(lambda: build_model(made, schema), f"must have at most {MAX_SLOTS} places for experts")


@pytest.mark.parametrize("kind", sorted(SHARING))
def test_the_count_is_that_of_the_network(kind, monkeypatch):
    monkeypatch.setattr(size, "MODULE", 0)
    made = build(
        Architecture,
        {"experts": [{"blocks": ["mlp(4)"]}] * 3, "projection": 8, "sharing": {"kind": kind}},
        "it",
    )
    total = sum(p.numel() for p in build_model(made, SCHEMA).parameters())
    build_model(made, SCHEMA, max_parameters=total)
    with pytest.raises(ConfigError, match=f"at most {total - 1:,} parameters, got {total:,}"):
        build_model(made, SCHEMA, max_parameters=total - 1)


def test_the_bound_is_a_setting_and_a_refusal_leaves_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data", rows=200)
    Path("large.json").write_text(json.dumps(LARGE["wide experts"][0]))
    before = sorted(p.name for p in tmp_path.iterdir())
    retrain = [
        "retrain",
        "large.json",
        "--data",
        "data/tiny.yaml",
        "--out",
        "run",
        "--fast-dev-run",
    ]
    assert run(retrain) == 2
    said = "architecture: must make a network of at most 1,000,000,000 parameters"
    err = capfd.readouterr().err
    assert said in err and "raise runtime.max_parameters" in err and "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == before
    for most, status in ((100_000, 2), (10**7, 0)):
        small = [
            "retrain",
            "moe",
            "--data",
            "data/tiny.yaml",
            "--out",
            "run",
            "--fast-dev-run",
            "--set",
            f"runtime.max_parameters={most}",
        ]
        assert run(small) == status, capfd.readouterr().err
    search = [
        "search",
        "data/tiny.yaml",
        "--space",
        "automtl_small",
        "--out",
        "other",
        "--fast-dev-run",
    ]
    assert run([*search, "--set", "runtime.max_parameters=1000"]) == 2
    assert (
        "space automtl_small: must make a network of at most 1,000 parameters"
        in capfd.readouterr().err
        and not Path("other").exists()
    )
