"""The settings of a table: those of its trainings, which every model placed in it must share, and
those of its plan.
"""

from typing import Any

from pydantic import Field

from automtl.config import RetrainSection, RunConfig, RuntimeSection
from automtl.data.store.encoding import checksum
from automtl.errors import ConfigError
from automtl.ranks import need_one_process
from automtl.strict import Strict

# of a training and its judgement, as _train.py does them; a change there is a new number
PROTOCOL = 1
HAND_MADE = ("shared_bottom", "mmoe", "ple", "adatt", "cgc", "single_task")
# of the retrain section
TRAINED_BY = ("batch_size", "lr", "weight_decay", "clip_norm", "balancing")
# of it, too; left out of the hash where default
OPTIMIZED_BY = ("optimizer", "betas", "momentum", "schedule", "warmup_epochs", "group_lr")
_IGNORED = {
    "retrain": (
        RetrainSection,
        ("epochs", "patience", "chosen_experts"),
        "every training has --epochs, no early stop",
    ),
    "runtime": (
        RuntimeSection,
        ("compile", "loggers", "time_limit_s", "fast_dev_run", "on_nan"),
        "a table has no use for it",
    ),
}


class TableSettings(Strict):
    """A table's own settings."""

    epochs: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Of every training; no early stop, the B rows pick among them.",
    )
    fit_rows: int | None = Field(
        None, ge=2, description="Train on so many of the fit rows, drawn by key; None: on all."
    )
    judged_rows: int = Field(
        12_000, ge=2, description="At most so many rows of A, B and validation, drawn by key."
    )
    architectures: int = Field(
        96, ge=2, le=100_000, description="Drawn from the space, evenly over its interactions."
    )
    pilot: int = Field(
        24, ge=2, le=100_000, description="Of these, trained first with two seeds: the gate."
    )
    hand_made: tuple[str, ...] = Field(
        HAND_MADE, description="Hand-made models beside them, cut to like FLOPs."
    )
    sample: int | None = Field(
        None,
        ge=1,
        description="Only so many of the architectures, one "
        "seed, nothing else: to compare two tables.",
    )
    draw_seed: int = Field(0, ge=0, description="Of the draws.")


def training_settings(table: TableSettings, config: RunConfig) -> dict[str, Any]:
    """All that decides what a training of one architecture with one seed comes to, the data
    apart.
    """
    retrain = config.retrain.model_dump(mode="json", include=set(TRAINED_BY))
    retrain |= config.retrain.model_dump(
        mode="json", include=set(OPTIMIZED_BY), exclude_defaults=True
    )
    own = table.model_dump(mode="json", include={"epochs", "fit_rows", "judged_rows"})
    return {"protocol": PROTOCOL, **own, "precision": config.runtime.precision, "retrain": retrain}


def settings_hash(table: TableSettings, config: RunConfig) -> str:
    """A short hash of ``training_settings``."""
    return checksum(training_settings(table, config))[:12]


def one_trainer(config: RunConfig) -> RunConfig:
    """The settings as a table uses them: no model is trained as its own file recommends."""
    return config.model_copy(
        update={"retrain": config.retrain.model_copy(update={"recommended": False})}
    )


def check(config: RunConfig, table: TableSettings) -> None:
    """Refuse settings that a table would not read.

    Raises:
        ConfigError: one of them is set, or several ranks would train one table.
    """
    need_one_process("benchmark")
    if config.retrain.recommended and "recommended" in config.retrain.model_fields_set:
        raise ConfigError(
            "retrain.recommended",
            "must be false: one trainer trains all models of a table",
            "true",
            "leave it out",
        )
    if config.retrain.warmup_epochs >= table.epochs:
        rule = f"must be below the table's epochs, {table.epochs}"
        raise ConfigError(
            "retrain.warmup_epochs",
            rule,
            config.retrain.warmup_epochs,
            "lower it or raise --epochs",
        )
    for section, (kind, names, why) in _IGNORED.items():
        default = kind()
        for name in names:
            if (value := getattr(getattr(config, section), name)) != getattr(default, name):
                raise ConfigError(
                    f"{section}.{name}", f"must be left as it is: {why}", value, "leave it out"
                )
