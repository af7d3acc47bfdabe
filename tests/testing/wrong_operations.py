"""Expert operations that are wrong in one way each; the docstring names the rule that is meant to
say so.
"""

import torch
from torch import nn


class Operation(nn.Module):
    """Not wrong."""

    def __init__(self, *, width_in):
        super().__init__()
        self.linear = nn.Linear(width_in, width_in)

    def forward(self, x):
        return self.change(self.linear(x))

    def change(self, y):
        return y


class Narrow(Operation):
    """rows_of_its_width"""

    def change(self, y):
        return y[:, 1:]


class NoNumber(Operation):
    """rows_of_its_width"""

    def change(self, y):
        return y.log()


class OtherType(Operation):
    """rows_of_its_width"""

    def forward(self, x):
        return self.linear.float()(x.float())


class NeedsTwoRows(Operation):
    """rows_of_its_width"""

    def change(self, y):
        return y / (len(y) - 1)


class NoisyEvaluation(Operation):
    """evaluation_repeats"""

    def change(self, y):
        return y if self.training else y + torch.randn_like(y)


class WritesOnItsInput(Operation):
    """its_input_stays_as_it_was"""

    def forward(self, x):
        return self.linear(x.relu_())


class SeesRows(Operation):
    """rows_do_not_see_each_other"""

    def change(self, y):
        return y - y.mean(0)


class UnreadParameter(Operation):
    """a_finite_gradient_to_everything_that_is_built"""

    def __init__(self, *, width_in):
        super().__init__(width_in=width_in)
        self.unread = nn.Parameter(torch.zeros(3))


class Detached(Operation):
    """a_finite_gradient_to_everything_that_is_built"""

    def change(self, y):
        return y.detach() + 0 * y


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class WrongGradient(Operation):
    """gradients_are_those_of_its_output"""

    def change(self, y):
        return _Double.apply(y)


class OwnDropout(Operation):
    """noise_is_of_the_generator_that_is_passed"""

    def __init__(self, *, width_in):
        super().__init__(width_in=width_in)
        self.dropout = nn.Dropout(0.5)

    def change(self, y):
        return self.dropout(y)


class DropsTwice(OwnDropout):
    """dropout_acts_in_training_only"""


class OwnNorm(Operation):
    """batch_norm_off_leaves_none"""

    def __init__(self, *, width_in):
        super().__init__(width_in=width_in)
        self.norm = nn.BatchNorm1d(width_in)

    def change(self, y):
        return self.norm(y)


class MovesInAnAlphaStep(OwnNorm):
    """an_alpha_step_leaves_its_state_alone"""


class HiddenState(Operation):
    """a_state_goes_into_a_fresh_module"""

    steps = 0

    def change(self, y):
        self.steps += self.training
        return y * (1 + self.steps * (torch.arange(y.shape[1]) % 2))


class KeepsTheGraph(Operation):
    """a_copy_is_whole"""

    def change(self, y):
        self.last = y * 2
        return self.last


class LeftBehind(Operation):
    """everything_moves_to_a_device"""

    def __init__(self, *, width_in):
        super().__init__(width_in=width_in)
        self.scale = torch.ones(width_in, dtype=torch.float64)

    def change(self, y):
        return y * self.scale


WRONG = [
    value
    for value in list(vars().values())
    if isinstance(value, type)
    and value.__module__ == __name__
    and value not in (Operation, _Double)
]
