"""Input-dependent gates over experts. Legend: B rows, c outputs."""

from torch import Tensor, nn


class Gate(nn.Module):
    """softmax(W h + b) over experts (Ma et al., KDD 2018, eq. 7; without bias there as here).

    Shape: (B, width_in) -> (B, num_outputs), rows sum to 1.

    Args:
        width_in: width of the gate's input h.
        num_outputs: how many experts it weighs.
        bias: give the linear map a bias.
    """

    def __init__(self, width_in: int, num_outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, num_outputs, bias=bias)

    def forward(self, h: Tensor) -> Tensor:
        logits: Tensor = self.linear(h)
        return logits.softmax(dim=-1)
