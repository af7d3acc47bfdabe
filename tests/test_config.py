import pytest

from automtl.config import RunConfig, parse_set, resolve
from automtl.config_reference import RUN
from automtl.errors import ConfigError
from automtl.strict import build, parse_yaml


def resolved(**changes):
    return resolve(**{"source": "census_income", "space": "automtl_small", "flags": {}, **changes})


def test_precedence_flag_set_file_space_default(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "seed: 1\nsearch: {epochs: 7, alpha_lr: 0.5, batch_size: 99}\nretrain: {lr: 0.5}\n"
    )
    config = resolved(config_file=file, sets=["search.alpha_lr=1e-3", "seed=2"], flags={"seed": 3})
    assert config.seed == 3  # flag over --set over file
    assert config.search.alpha_lr == 1e-3  # --set over file
    assert config.search.epochs == 7  # file over the space's recommendation
    assert config.search.warmup_epochs == 1  # the space's recommendation over the default
    assert config.search.weight_lr == 0.02 and config.retrain.lr == 0.5


def test_the_resolved_config_reads_back_as_itself(tmp_path):
    config = resolved(sets=["space.num_experts=3", "runtime.device=cpu"])
    assert build(RunConfig, parse_yaml(config.to_yaml(), "x"), "x") == config
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    again = resolve(source="census_income", config_file=tmp_path / "c.yaml", flags={})
    assert again == config and again.space.num_experts == 3


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["search.epoch=3"], "search.epoch is not a known key (did you mean 'epochs'?)"),
        (["search.epochs=three"], "search.epochs should be a valid integer, got 'three'"),
        (["search.warmup_epochs=3"], "search.warmup_epochs: must be below search.epochs = 3"),
        (["search.sharing=single_task"], "must be a kind that can stand in a supernet"),
        (["search"], "must have the form section.key=value"),
        (["space.chosen_experts=5"], "chosen_experts: must be at most num_experts = 4, got 5"),
        (["sharing.k=2"], "this kind has no settings"),
        (["seed=-1"], "seed should be greater than or equal to 0, got -1"),
    ],
)
def test_wrong_settings_are_refused_with_path_and_rule(sets, message):
    with pytest.raises(ConfigError) as caught:
        resolved(sets=sets)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sets", "place"),
    [
        ("search: {epochs: 3}", ["search.race_epochs=nan"], "settings: search.race_epochs"),
        ("search: {race_epochs: 3}", ["search.race_epochs=nan"], "settings: search.race_epochs"),
        ("search: {race_epochs: x}", ["search.epochs=3"], "c.yaml: search.race_epochs"),
        ("search: {race_epochs: x}", ["seed=-1"], "c.yaml and settings: seed"),
        ("retrain: {optimizer: sgd}", ["retrain.betas=[.9, .9]"], "c.yaml and settings: retrain"),
        ("search: 3", [], "c.yaml: search"),
        ("seed: 1", ["space.num_experts=x"], "settings: space: num_experts"),
        ("space: {num_experts: x}", ["seed=1"], "c.yaml: space: num_experts"),
        ("seed: 1", ["space=3"], "settings: space: must be a mapping"),
        ("seed: 1", ["space.base=3"], "settings: space.base: must be"),
        ("seed: 1", ["data=3"], "settings: data: must be a mapping"),
    ],
)
def test_an_error_names_the_place_that_says_it(content, sets, place, tmp_path):
    """The file was named for what --set said."""
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        resolved(config_file=tmp_path / "c.yaml", sets=sets)
    said = str(caught.value).replace(str(tmp_path), "FOLDER")
    assert said.startswith((place, f"FOLDER/{place}"))


@pytest.mark.parametrize("number", ["1e400", ".inf", "-.inf", ".nan"])
def test_no_setting_is_a_number_without_end(number):
    """Infinite rates were accepted, and every training failed."""
    paths = [
        f"{one.path}"
        for own in RUN.sections().values()
        for one in own
        if one.type.startswith("number") and "{" not in one.path and "[" not in one.path
    ]
    assert {"retrain.lr", "retrain.clip_norm", "search.weight_lr", "runtime.time_limit_s"} <= {
        *paths
    }
    for path in paths:
        with pytest.raises(ConfigError, match=f"{path.rpartition('.')[2]} should be"):
            resolved(sets=[f"{path}={number}"])


def test_fast_dev_run_is_two_epochs_with_a_warm_up_of_one():
    config = resolve(source="x", space="automtl", flags={"runtime": {"fast_dev_run": True}})
    assert (config.search.epochs, config.search.warmup_epochs, config.retrain.epochs) == (2, 1, 2)


@pytest.mark.parametrize(("written", "meant"), [("1e-3", 1e-3), ("2.5E-4", 2.5e-4), (".01", 0.01)])
def test_a_number_is_one_in_a_file_and_on_the_command_line(written, meant, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"search: {{alpha_lr: {written}}}\n")
    for given in (
        {"config_file": tmp_path / "mine.yaml"},
        {"sets": [f"search.alpha_lr={written}"]},
    ):
        assert (
            resolve(source="x", space="automtl_small", flags={}, **given).search.alpha_lr == meant
        )


@pytest.mark.parametrize("written", ["109_14", "010", "12:30", "1e1"])
def test_what_is_no_whole_number_is_refused_in_a_file_and_on_the_command_line(written, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"search: {{epochs: {written}}}\n")
    for given in ({"config_file": tmp_path / "mine.yaml"}, {"sets": [f"search.epochs={written}"]}):
        with pytest.raises(ConfigError, match="search.epochs should be a valid integer, got"):
            resolve(source="x", space="automtl_small", flags={}, **given)


def test_set_reads_numbers_lists_and_words():
    assert parse_set("a.b=1e-3") == {"a": {"b": 1e-3}}
    assert parse_set("space.towers=[32, 16]") == {"space": {"towers": [32, 16]}}
    assert parse_set("a=on_time") == {"a": "on_time"}
