"""The supernet: the skeleton with a choice block wherever the space leaves a choice."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from automtl.bounds import MAX_PARAMETERS
from automtl.data.store.schema import Schema
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import build_interaction
from automtl.layers.nested import build_nested
from automtl.layers.operations import Chain, build_operation
from automtl.models.size import check_size
from automtl.models.skeleton import MultiTaskNet, input_layer, seeded, towers
from automtl.sharing import SEARCH_MODULES
from automtl.spaces.catalogue import fit_sharing, module_settings, sharing_settings
from automtl.spaces.kinds import Slot, layout
from automtl.spaces.space import SearchSpace

ALPHA_SCALE = 1e-3


class Supernet(MultiTaskNet):
    """The skeleton over choice blocks. Architecture parameters are told from weights by object,
    never by name.

    Attributes:
        space: what it searches.
        alphas: per choice block ("interaction.0", "level0.pool.3.block.1") its alpha; tied blocks
            share one object.
        slots: the sharing module's slots.
    """

    def __init__(
        self, *, space: SearchSpace, alphas: Mapping[str, nn.Parameter], **parts: Any
    ) -> None:
        super().__init__(**parts)
        self.space = space
        self.alphas = dict(alphas)
        self.slots = self.sharing.slots

    def alpha_parameters(self) -> list[nn.Parameter]:
        """Every alpha once."""
        return list({id(alpha): alpha for alpha in self.alphas.values()}.values())

    def beta_parameters(self) -> list[nn.Parameter]:
        """The expert-selection parameters, (T, N); empty for sharing kinds without."""
        beta = getattr(self.sharing, "beta", None)
        return [beta] if isinstance(beta, nn.Parameter) else []

    def weights(self) -> list[nn.Parameter]:
        """All other parameters but the embedding tables."""
        apart = {id(p) for p in [*self.alpha_parameters(), *self.beta_parameters(), *self.tables()]}
        return [p for p in self.parameters() if id(p) not in apart]

    def choice_blocks(self) -> Iterator[ChoiceBlock]:
        """Every choice block."""
        return (module for module in self.modules() if isinstance(module, ChoiceBlock))

    def blocks(self) -> dict[str, ChoiceBlock]:
        """Every choice block by the name its alpha has in ``alphas``."""
        blocks = list(self.choice_blocks())
        assert len(blocks) == len(self.alphas) and all(
            b.alpha is a for b, a in zip(blocks, self.alphas.values(), strict=True)
        )
        return dict(zip(self.alphas, blocks, strict=True))

    def mix_all(self) -> None:
        """Every block mixes all its candidates by softmax(alpha) again, every task all experts."""
        for block in self.choice_blocks():
            block.path = block.shares = None
        if hasattr(self.sharing, "mask"):
            # a tensor or nothing, unlike what nn.Module declares
            setattr(self.sharing, "mask", None)  # noqa: B010

    def set_auxiliary_skip(self, strength: float) -> None:
        """Set lambda_t, the weight of the auxiliary skip, on every choice block (DARTS-, Chu et al.
        2020).
        """
        for block in self.choice_blocks():
            block.auxiliary_skip = strength


@contextlib.contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """No gradient is computed for `parameters` inside the block."""
    trainable = [p for p in parameters if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def build_supernet(
    space: SearchSpace,
    schema: Schema,
    *,
    sharing: str = "selected",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    sparse: bool = True,
    generator: torch.Generator | None = None,
    max_parameters: int | None = MAX_PARAMETERS,
) -> Supernet:
    """Make the supernet of a space with fresh weights; alpha and beta start at 1e-3 * N(0, 1).

    Args:
        space: the choices.
        schema: the data set; gives vocabulary sizes and tasks.
        sharing: the sharing kind that stands in the supernet.
        settings: its settings; the others take their defaults.
        seed: of the initial weights, alphas and betas.
        sparse: embedding tables give sparse gradients.
        generator: source of dropout and gate noise, on the device the network will run on.
        max_parameters: a larger network is refused before it is made; None for any, where the space
            was looked at before.

    Raises:
        ConfigError: an unknown kind or setting, one that does not fit, or a network that is too
            large.
    """
    make = supernet_parts(
        space, schema, sharing=sharing, settings=settings, sparse=sparse, generator=generator
    )
    check_size(_called(space), lambda: Supernet(**make()), max_parameters)
    with seeded(seed):
        return Supernet(**make())


def check_supernet(
    space: SearchSpace,
    schema: Schema,
    *,
    sharing: str,
    settings: Mapping[str, Any],
    generator: torch.Generator,
    max_parameters: int,
) -> None:
    """Refuse what `build_supernet` would refuse, without the memory and the time of a supernet;
    arguments are its.

    Raises:
        ConfigError: see `build_supernet`.
    """
    make = supernet_parts(
        space, schema, sharing=sharing, settings=settings, sparse=True, generator=generator
    )
    if not check_size(_called(space), lambda: Supernet(**make()), max_parameters):
        with seeded(0):
            make()  # a plugin's module that needs real tensors


def _called(space: SearchSpace) -> str:
    return f"space {space.name[:80]}"


def supernet_parts(
    space: SearchSpace,
    schema: Schema,
    *,
    sharing: str,
    settings: Mapping[str, Any] | None,
    sparse: bool,
    generator: torch.Generator | None,
) -> Callable[[], dict[str, Any]]:
    """A function that makes the arguments of a ``Supernet``, with fresh weights at each call.
    Arguments are those of `build_supernet`.

    Raises:
        ConfigError: an unknown kind or setting, or one that does not fit.
    """
    complete = sharing_settings(sharing, settings or {})
    names = [task.name for task in schema.tasks]
    fit_sharing(
        sharing,
        complete,
        num_experts=space.num_experts,
        tasks={task.name: task.kind for task in schema.tasks},
    )
    slots = layout(
        sharing, num_tasks=len(names), num_experts=space.num_experts, settings=complete, names=names
    )

    def make() -> dict[str, Any]:
        builder = _Builder(space, generator)
        inputs = input_layer(schema, dim=space.embedding_dim, numeric=space.numeric, sparse=sparse)
        interaction = builder.interactions(inputs.num_fields)
        projection = nn.Linear(inputs.num_fields * space.embedding_dim, space.expert_dim)
        module = SEARCH_MODULES[sharing](
            build=builder.expert,
            tasks=names,
            width_in=space.expert_dim,
            slots=slots,
            field_shape=(inputs.num_fields, space.embedding_dim),
            generator=generator,
            **module_settings(sharing, complete),
        )
        heads = towers(schema, module.width_out, hidden=space.towers, **builder.common)
        return {
            "space": space,
            "alphas": builder.alphas,
            "input_layer": inputs,
            "interaction": interaction,
            "projection": projection,
            "sharing": module,
            "towers": heads,
        }

    return make


class _Builder:
    """Makes choice blocks and keeps their alphas by name."""

    def __init__(self, space: SearchSpace, generator: torch.Generator | None) -> None:
        self.space = space
        self.alphas: dict[str, nn.Parameter] = {}
        self._ties: dict[object, nn.Parameter] = {}
        self.common: dict[str, Any] = {
            "dropout": space.dropout,
            "batch_norm": space.batch_norm,
            "generator": generator,
        }

    def interactions(self, num_fields: int) -> list[ChoiceBlock]:
        return [self._interaction(i, num_fields) for i in range(self.space.num_interaction_blocks)]

    def _interaction(self, index: int, num_fields: int) -> ChoiceBlock:
        operations = self.space.interaction_operations
        candidates = [
            build_interaction(o, num_fields=num_fields, dim=self.space.embedding_dim, **self.common)
            for o in operations
        ]
        return ChoiceBlock(
            candidates,
            alpha=self._alpha(f"interaction.{index}", ("interaction", index), len(operations)),
        )

    def expert(self, slot: Slot, width_in: int) -> Chain:
        blocks = [self._expert_block(slot, j, width_in) for j in range(self.space.num_blocks)]
        return Chain(blocks, width_in)

    def _expert_block(self, slot: Slot, index: int, width: int) -> ChoiceBlock:
        operations = self.space.expert_operations
        if self.space.widths == "nested":
            candidates = build_nested(operations, width_in=width, **self.common)
        else:
            candidates = [build_operation(o, width_in=width, **self.common) for o in operations]
        return ChoiceBlock(
            candidates,
            alpha=self._alpha(
                f"{slot}.block.{index}", self.space.tie(slot, index), len(operations)
            ),
        )

    def _alpha(self, name: str, tie: object, size: int) -> nn.Parameter:
        if tie not in self._ties:
            self._ties[tie] = nn.Parameter(ALPHA_SCALE * torch.randn(size))
        self.alphas[name] = self._ties[tie]
        return self._ties[tie]
