"""The run configuration: every setting with a sentence of help, resolved from flags, files, space
and defaults.

Only ``phases`` and ``cli`` read it; everything below takes flat arguments.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from automtl.bounds import MAX_PARAMETERS
from automtl.config_layers import (
    Recommendation,
    Where,
    laid,
    merge,
    of_dataset,
    origins_told,
    places,
)
from automtl.config_retrain import BalancingSection as BalancingSection
from automtl.config_retrain import RetrainSection as RetrainSection
from automtl.config_search import SearchSection
from automtl.config_tune import TuneSection
from automtl.data.spec.dataset import DatasetConfig, is_dataset, load_dataset
from automtl.errors import ConfigError
from automtl.spaces.catalogue import fit_sharing
from automtl.spaces.space import SearchSpace
from automtl.strict import Strict, build, load_yaml, parse_yaml, to_yaml

DEFAULT_SPACE = "automtl"


class DataSection(Strict):
    """Which data, and where it is kept."""

    source: str = Field(
        description="A shipped data set's name, or the path of a data set's YAML file."
    )
    dir: str | None = Field(
        None, description="Folder of raw and prepared data; default the user's cache folder."
    )
    keep_side_tables: int = Field(
        256,
        ge=0,
        le=2**20,
        description="Largest side table, in MB, whose columns "
        "a run keeps; for a larger one, rows to predict on bring them.",
    )
    shuffle_block: int | None = Field(
        None,
        ge=2,
        le=2**24,
        description="Shuffle in blocks of so many rows, such as 4096, for data larger than memory; "
        "null: row by row.",
    )


class RuntimeSection(Strict):
    """The machine."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d{1,2})?)$",
        description="auto, cpu, mps, cuda or cuda:N.",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads of torch; default torch's own choice."
    )
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "float32",
        description="Of training's products; auto: bfloat16 "
        "where the hardware has it. AUC within .002 "
        "of float32 is not shown.",
    )
    allocator: Literal["keep", "default"] = Field(
        "keep", description="keep: freed memory stays in the process (glibc); faster steps."
    )
    compile: bool = Field(
        False, description="torch.compile the network; meant for GPUs, did not pay on CPUs."
    )
    eval_batch_size: int = Field(8192, ge=2, description="Rows per evaluation batch.")
    fast_dev_run: bool = Field(
        False, description="Two epochs of four batches, to see that everything runs."
    )
    loggers: tuple[Literal["tensorboard", "mlflow"], ...] = Field(
        (), description="Also receive each epoch's figures; each needs its extra."
    )
    time_limit_s: float | None = Field(
        None, gt=0, description="Stop after this many seconds and derive from what there is."
    )
    on_nan: Literal["stop", "skip"] = Field(
        "stop",
        description="At a loss or gradient that is not finite: stop, or leave the batch out.",
    )
    nan_limit: int = Field(100, ge=0, description="The most batches that on_nan: skip leaves out.")
    max_parameters: int = Field(
        MAX_PARAMETERS,
        ge=1,
        le=2**48,
        description="Largest network, tables included; a larger one is refused before it is built.",
    )
    deterministic: bool = Field(
        False,
        description="Refuse operations whose bits vary on a "
        "device; CPUs repeat themselves without it.",
    )
    checkpoint_every_s: float = Field(
        300.0,
        gt=0,
        description="Seconds between checkpoints; a search makes one at each epoch's end too.",
    )
    checkpoint_every_steps: int | None = Field(
        None, ge=1, description="Steps between checkpoints, beside the seconds."
    )
    collective_timeout_s: float = Field(
        1800.0,
        ge=1,
        le=10**6,
        description="Seconds that one of several ranks waits for the others before it gives up.",
    )


class RunConfig(Strict):
    """All settings of a run."""

    seed: int = Field(0, ge=0, lt=2**31, description="Random seed; the split has its own.")
    data: DataSection
    space: SearchSpace | None = Field(
        None, description="The search space, whole; None where nothing is searched."
    )
    search: SearchSection = SearchSection()
    sharing: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the sharing kind in use."
    )
    retrain: RetrainSection = RetrainSection()
    architecture: dict[str, Any] = Field(
        default_factory=dict,
        description="Changes to a hand-made template, such as embedding_dim, towers, dropout, "
        "expert_widths.",
    )
    tune: TuneSection = TuneSection()
    runtime: RuntimeSection = RuntimeSection()
    origins: dict[str, str] = Field(
        default_factory=dict,
        description="A record: who recommended the settings "
        "that neither a default nor the user gave.",
    )

    @property
    def told(self) -> str:
        """One line for people: which settings came from the data set, and which from the baseline;
        empty where none did.
        """
        return origins_told(self.origins, self.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """The resolved config as YAML that ``--config`` reads."""
        return to_yaml(self.model_dump(mode="json"))

    def dev(self) -> "RunConfig":
        """The config as --fast-dev-run changes it: 2 epochs, warm-up of 1; a small race."""
        if not self.runtime.fast_dev_run:
            return self
        search = {**dict(self.search), "epochs": 2, "warmup_epochs": 1}
        few = {
            "race_candidates": 2,
            "race_controls": 1,
            "race_seeds": 2,
            "race_checks": 1,
            "race_patterns": 1,
        }
        search |= {name: min(most, search[name]) for name, most in few.items()}
        search["race_epochs"] = min(1.0, self.search.race_epochs)
        return self.model_copy(
            update={"search": SearchSection(**search), "retrain": self.retrain.dev()}
        )


def parse_set(item: str) -> dict[str, Any]:
    """One ``--set section.key=value`` as nested data; the value is read as YAML.

    Raises:
        ConfigError: there is no ``=``, or the value is no YAML.
    """
    path, separator, text = item.partition("=")
    if not separator or not path:
        raise ConfigError(
            f"--set {item}",
            "must have the form section.key=value",
            fix="for example --set search.epochs=3",
        )
    value = parse_yaml(text, f"--set {item}")
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


def resolve(
    *,
    source: str,
    space: str | Literal[False] | None = None,
    config_file: Path | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, Any],
    base: Mapping[str, Any] | None = None,
    recommended: Sequence[Recommendation] | None = None,
    hand_made: bool = False,
) -> RunConfig:
    """Resolve a run's settings: defaults < the space's < the data set's < the baseline's
    recommendations < --config < --set < flags.

    Args:
        source: the data set.
        space: a space's name or path; None takes the config file's, then the default; False takes
            none (nothing is searched).
        config_file: a YAML file.
        sets: ``section.key=value`` items.
        flags: nested values from the command line's own options; None values are left out.
        base: settings below the config file's, such as those of the run that a retrain belongs to,
            or of the one that is resumed.
        recommended: by whom, the weakest first; default the data set alone, as its YAML says now.
        hand_made: hand-made models are trained beside what is searched, so that `architecture` has
            a meaning.

    Raises:
        ConfigError: an unknown key or an illegal value; every fault is listed.
    """
    said, where = _given(config_file, sets, flags)
    below_said = dict(base or {})
    if space or "base" in _mapping(said.get("space") or {}, f"{where(['space'])}: space"):
        below_said.pop("space", None)  # another space's changes are no changes of this one
    given = merge(below_said, said)
    data = _mapping(given.get("data") or {}, f"{where(['data'])}: data")
    given["data"] = {**data, "source": source}
    if given.get("architecture") and space is not False and not hand_made:
        at, fix = where(["architecture"]), "set space.embedding_dim and the like for a search"
        raise ConfigError(
            f"{at}: architecture", "is for hand-made models", given["architecture"], fix
        )
    wanted = {
        "retrain",
        *(("search", "space") if space is not False else ()),
        *(("architecture",) if space is False or hand_made else ()),
    }
    # what is no data set, or gone by now, is refused where its rows are opened
    if recommended is None:
        recommended = [of_dataset(load_dataset(source), source)] if is_dataset(source) else ()
    for recommendation in recommended:
        recommendation.check(SearchSection)
    below, origins = laid(recommended, wanted, given)
    chosen = _space(given.pop("space", None), space, where, below.pop("space", {}))
    settings = merge(merge(chosen.recommended if chosen else {}, below), given)
    config = build(
        RunConfig,
        {**settings, "space": dict(chosen) if chosen else None, "origins": origins},
        where,
    )
    if chosen is not None:
        fit_sharing(config.search.sharing, config.sharing, num_experts=chosen.num_experts)
    return config.dev()


def _given(
    config_file: Path | None, sets: Iterable[str], flags: Mapping[str, Any]
) -> tuple[dict[str, Any], Where]:
    """What the user says, the later over the earlier; and where each setting is said."""
    in_file = dict[str, Any]()
    if config_file is not None:
        in_file = _mapping(load_yaml(config_file), str(config_file))
        in_file.pop("origins", None)  # a record of the run that the file is of
    later = dict[str, Any]()
    for item in sets:
        later = merge(later, parse_set(item))
    later = merge(later, _without_none(flags))
    given = merge(in_file, later)
    if "origins" in given:
        raise ConfigError(
            "origins",
            "is a record of who gave a setting, and cannot be set",
            given["origins"],
            "leave it out",
        )
    return given, places(str(config_file), in_file, later)


def check_recommends(dataset: DatasetConfig, source: object) -> None:
    """Refuse a data set that recommends what is no setting.

    Raises:
        ConfigError: as above; the message names its file and the key.
    """
    of_dataset(dataset, source).check(SearchSection)


def _space(
    section: Any, flag: str | Literal[False] | None, where: Where, recommended: Mapping[str, Any]
) -> SearchSpace | None:
    """The space that a flag or a config section names, with what the data set recommends and the
    section's changes.
    """
    if flag is False:
        return None
    changes = dict(_mapping(section or {}, f"{where(['space'])}: space"))
    base = changes.pop("base", None)
    if not isinstance(base, str | None):
        raise ConfigError(
            f"{where(['space.base'])}: space.base",
            "must be a shipped space's name, or a path",
            repr(base)[:200],
        )

    def inside(paths: Sequence[str]) -> str:
        return f"{where([f'space.{path}' for path in paths])}: space"

    space, changes = (
        SearchSpace.load(next(name for name in (flag, base, DEFAULT_SPACE) if name is not None)),
        {**recommended, **changes},
    )
    return build(SearchSpace, {**dict(space), **changes}, inside) if changes else space


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(where, "must be a mapping of settings", type(value).__name__)
    return dict(value)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: v
        for k, v in (
            (k, _without_none(v) if isinstance(v, Mapping) else v) for k, v in values.items()
        )
        if v not in (None, {})
    }
