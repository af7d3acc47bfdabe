"""The network of one task between its representation and its logits. Legend: B rows, C classes."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from automtl.layers.operations import Dense


class Tower(nn.Module):
    """Per layer Linear -> BatchNorm -> ReLU -> dropout, then Linear to the logits.

    Shape: (B, width_in) -> (B,) for one output, (B, C) for C outputs.

    Args:
        width_in: width of the task's representation.
        hidden: units of each layer.
        outputs: 1 for binary and regression tasks, C for C classes.
        start: what the output's bias starts at, one number per output; 0 where it is empty.
        dropout: rate after each ReLU.
        batch_norm: off removes the BatchNorm of each layer.
        generator: dropout's source of randomness.
    """

    def __init__(
        self,
        *,
        width_in: int,
        hidden: Sequence[int] = (128, 64),
        outputs: int = 1,
        start: Sequence[float] = (),
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = [width_in, *hidden]
        self.layers = nn.Sequential(
            *(
                Dense(
                    width_in=before,
                    units=after,
                    dropout=dropout,
                    batch_norm=batch_norm,
                    generator=generator,
                )
                for before, after in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1], outputs)
        # the draw of the bias is made and dropped: all other weights stay what a seed made them
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor(start or [0.0] * outputs))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(x))
        # squeeze() would do: ONNX has none that may change nothing
        return logits.squeeze(1) if self.head.out_features == 1 else logits
