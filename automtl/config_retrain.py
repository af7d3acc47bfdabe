"""The configuration's sections on training a discrete architecture, and on how tasks' losses are
balanced.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from automtl.errors import ConfigError
from automtl.strict import Strict

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
# what is meant for one optimiser, and not for another
OF_OPTIMIZER = ("lr", "betas", "momentum", "group_lr")
BETAS, MOMENTUM = (0.9, 0.999), 0.9  # where none are given


class BalancingSection(Strict):
    """How the tasks' losses become the gradient of the weights; reported losses, early stop and
    alpha's loss are not touched.
    """

    method: Literal[
        "equal", "fixed", "uncertainty", "gradnorm", "pcgrad", "cagrad", "mgda", "aligned_mtl"
    ] = Field(
        "fixed",
        description="fixed: by the tasks' weights; equal: all "
        "alike, without them. pcgrad and those after it "
        "need the extra `balancing`.",
    )
    weights: dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Weights of tasks by name, over the data set's; not for equal."
    )
    tables: bool | None = Field(
        None,
        description="Methods on gradients: embedding tables are shared parameters; default true.",
    )
    lr: float | None = Field(
        None,
        gt=0,
        description="uncertainty, gradnorm: Adam rate of the balancing parameters; default 1e-3.",
    )
    gradnorm_alpha: float | None = Field(
        None, ge=0, description="gradnorm: pull towards equal training rates; default 1.5."
    )
    cagrad_c: float | None = Field(
        None, ge=0, description="cagrad: radius of the ball, 0 is plain training; default 0.4."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, methods in _BALANCING.items():
            if getattr(self, name) is not None and self.method not in methods:
                rule = f"belongs to method {' or '.join(methods)}"
                raise ConfigError(
                    f"balancing.{name}",
                    rule,
                    f"method {self.method}",
                    "leave it out, or change the method",
                )
        return self

    @property
    def plain(self) -> bool:
        """Whether it is the loss of the data set's own weights."""
        return self.method == "fixed" and not self.weights

    def given(self) -> dict[str, Any]:
        """What is set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


_ON_GRADIENTS = ("gradnorm", "pcgrad", "cagrad", "mgda", "aligned_mtl")
_BALANCING = {  # setting -> the methods that read it
    "weights": ("fixed", "uncertainty", *_ON_GRADIENTS),
    "tables": _ON_GRADIENTS,
    "lr": ("uncertainty", "gradnorm"),
    "gradnorm_alpha": ("gradnorm",),
    "cagrad_c": ("cagrad",),
}

_READ_BY = {"betas": ("adam", "adamw", "lazy_adam"), "momentum": ("sgd",)}  # which optimisers


class RetrainSection(Strict):
    """Training a discrete architecture, searched or hand-made, from fresh weights."""

    recommended: bool = Field(
        True,
        description="Train as the architecture's own file recommends, such as by its paper's rate; "
        "false: all alike by what is here.",
    )
    epochs: int = Field(
        50,
        ge=1,
        le=100_000,
        description="The most epochs, of each stage where a sharing kind trains in several.",
    )
    patience: int = Field(
        5,
        ge=1,
        description="Epochs without a better validation figure "
        "(see monitor) before the training stops.",
    )
    monitor: dict[str, str] = Field(
        {}, max_length=1, description="{task: metric} that picks the epoch; default the MTL-Loss."
    )
    batch_size: int = Field(1024, ge=2, description="Rows per step.")
    optimizer: Literal["adam", "adamw", "sgd", "adagrad"] = Field(
        "adam", description="torch optimizer of all weights."
    )
    embedding_optimizer: Literal["adam", "sgd", "lazy_adam"] | None = Field(
        None,
        description="Of embedding tables. null, and adam with optimizer adam: as all weights, each "
        "step over the whole tables; sgd, lazy_adam: a step costs the touched rows.",
    )
    lr: float = Field(1e-3, gt=0, description="Learning rate of the optimizer.")
    betas: tuple[Decay, Decay] | None = Field(
        None, description="adam, adamw, lazy_adam: decay of the two moments; default (.9, .999)."
    )
    momentum: Decay | None = Field(None, description="sgd: its momentum; default .9.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="Of all rates; cosine: to 0 over the planned epochs, anew in each stage of a "
        "training in several.",
    )
    warmup_epochs: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Epochs in which all rates rise from 0, step by step, before schedule.",
    )
    group_lr: dict[str, Rate] = Field(
        {},
        description="{group: rate} for parameters with a rate "
        "of their own: tables, weights, what the "
        "sharing kind names, as masks.",
    )
    weight_decay: float = Field(
        1e-4, ge=0, description="L2 decay of the weights (adamw: decoupled); tables have none."
    )
    clip_norm: float = Field(5.0, gt=0, description="Largest gradient norm.")
    chosen_experts: int | None = Field(
        None, ge=1, description="c, experts each task keeps; default as the search derived."
    )
    balancing: BalancingSection = Field(BalancingSection(), description="Of the training steps.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.embedding_optimizer == "adam" != self.optimizer:
            raise ConfigError(
                "retrain.embedding_optimizer",
                "must be sgd, lazy_adam or null where retrain.optimizer is not adam",
                f"adam with optimizer {self.optimizer}",
                "lazy_adam steps the touched rows by Adam, null all by retrain.optimizer",
            )
        used = {self.optimizer, self.embedding_optimizer}
        for name, kinds in _READ_BY.items():
            if getattr(self, name) is not None and not used.intersection(kinds):
                rule = f"belongs to optimizer {' or '.join(kinds)}"
                raise ConfigError(
                    f"retrain.{name}",
                    rule,
                    f"optimizer {self.optimizer}",
                    "leave it out, or change the optimizer",
                )
        if self.warmup_epochs >= self.epochs:
            rule = f"must be below retrain.epochs = {self.epochs}"
            raise ConfigError(
                "retrain.warmup_epochs", rule, self.warmup_epochs, "lower it or train longer"
            )
        return self

    def acting(self) -> dict[str, Any]:
        """What decides a training, as plain values: what is left to a default in full, what only
        picks settings or experts left out.
        """
        left_out = {"recommended", "chosen_experts"}
        if self.embedding_optimizer in (None, "adam"):  # one and the same
            left_out.add("embedding_optimizer")
        values = self.model_dump(mode="json", exclude=left_out)
        used = {self.optimizer, self.embedding_optimizer}
        betas = list(self.betas or BETAS) if used.intersection(_READ_BY["betas"]) else None
        momentum = MOMENTUM if self.momentum is None else self.momentum
        has_momentum = bool(used.intersection(_READ_BY["momentum"]))
        return values | {"betas": betas, "momentum": momentum if has_momentum else None}

    def dev(self) -> "RetrainSection":
        """As --fast-dev-run changes it: at most 2 epochs, none of them a warm-up."""
        return self.model_copy(update={"epochs": min(2, self.epochs), "warmup_epochs": 0})
