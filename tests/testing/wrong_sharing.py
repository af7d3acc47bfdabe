"""Sharing kinds that are wrong in one way each; the docstring names the rule that is meant to say
so.
"""

import torch
from torch import nn

from automtl.sharing.base import ParameterGroup, Stage
from automtl.sharing.network import GatedNetwork


class SeesRows(GatedNetwork):
    """rows_do_not_see_each_other"""

    def share(self, shared):
        return [vector - vector.mean(0) for vector in super().share(shared)]


class ComputesTwice(GatedNetwork):
    """each_expert_is_computed_once"""

    def share(self, shared):
        return [super(ComputesTwice, self).share(shared)[t] for t in range(len(self.tasks))]


class Noisy(GatedNetwork):
    """Not wrong but for what it draws from."""

    noisy = True

    def noise(self, vector):
        return torch.randn(vector.shape, generator=self.generator).to(vector)

    def share(self, shared):
        vectors = super().share(shared)
        return [v + self.noise(v) for v in vectors] if self.training else vectors


class TorchsNoise(Noisy):
    """noise_is_of_the_generator_that_is_passed"""

    def noise(self, vector):
        return torch.randn_like(vector)


class UnsaidNoise(Noisy):
    """noise_is_of_the_generator_that_is_passed"""

    noisy = False


class SaysNoise(Noisy):
    """noise_is_of_the_generator_that_is_passed"""

    def noise(self, vector):
        return 0.0


class NoNoiseAlone(Noisy):
    """noise_without_a_generator_is_torchs_own"""

    def noise(self, vector):
        return 0.0 if self.generator is None else super().noise(vector)


class NoisyEvaluation(Noisy):
    """evaluation_is_finite_and_repeats"""

    def share(self, shared):
        return [v + self.noise(v) for v in GatedNetwork.share(self, shared)]


class UnseededWeights(GatedNetwork):
    """same_seed_same_bits"""

    def __init__(self, **socket):
        super().__init__(**socket)
        generator = torch.Generator()
        generator.seed()
        self.offset = nn.Parameter(torch.randn(5, generator=generator))

    def share(self, shared):
        return [vector + self.offset for vector in super().share(shared)]


class HiddenState(GatedNetwork):
    """a_state_goes_into_a_fresh_module"""

    progress = 0.0

    def advance(self, progress):
        self.progress = progress

    def share(self, shared):
        return [vector * (1 + self.progress) for vector in super().share(shared)]


class HiddenCounter(GatedNetwork):
    """training_goes_on_from_a_state_to_the_same_bits"""

    steps = 0

    def share(self, shared):
        self.steps += self.training
        factor = 1 + self.steps if self.training else 1
        return [vector * factor for vector in super().share(shared)]


class WrongWidth(GatedNetwork):
    """one_finite_vector_for_each_task"""

    def share(self, shared):
        return [vector[:, 1:] for vector in super().share(shared)]


class NoNumber(GatedNetwork):
    """one_finite_vector_for_each_task"""

    def share(self, shared):
        return [vector.log() for vector in super().share(shared)]


class FailsForOneTask(GatedNetwork):
    """one_finite_vector_for_each_task"""

    def share(self, shared):
        first, second, *others = super().share(shared)
        return [first, second, *others]


class UnreadParameter(GatedNetwork):
    """a_finite_gradient_to_everything_that_is_built"""

    def __init__(self, **socket):
        super().__init__(**socket)
        self.unread = nn.Parameter(torch.zeros(3))


class Detached(GatedNetwork):
    """a_finite_gradient_to_everything_that_is_built"""

    def outputs(self, slots, inputs):
        return [output * 0 + output.detach() for output in super().outputs(slots, inputs)]


class WrongTerm(GatedNetwork):
    """a_finite_gradient_to_everything_that_is_built"""

    def auxiliary_loss(self, outputs=None, labels=None):
        return torch.zeros(2)


class LeftBehind(GatedNetwork):
    """everything_moves_to_a_device"""

    def __init__(self, **socket):
        super().__init__(**socket)
        self.scale = torch.ones(5, dtype=torch.float64)

    def share(self, shared):
        return [vector * self.scale for vector in super().share(shared)]


class TensorsInRecords(GatedNetwork):
    """records_are_plain_json"""

    def record(self):
        return {"weights": self.gate_weights()}


class UnsaidReads(GatedNetwork):
    """a_task_reads_the_experts_it_says"""

    def reads(self, task):
        return frozenset(self.slots[:2])


class ReadsDetached(GatedNetwork):
    """a_task_reads_the_experts_it_says"""

    def share(self, shared):
        every = sum(expert(shared).detach() for expert in self.experts)
        return [vector + every for vector in super().share(shared)]

    def unit_weights(self, units, gate_inputs):
        weights = super().unit_weights(units, gate_inputs)
        return [None if w is None else w * (torch.arange(w.shape[1]) < 2) for w in weights]

    def reads(self, task):
        return frozenset(self.slots[:2])


class WritesOnItsInput(GatedNetwork):
    """its_input_stays_as_it_was"""

    def share(self, shared):
        return super().share(shared.relu_())


class HiddenStage(GatedNetwork):
    """a_stages_state_goes_into_a_fresh_module"""

    factor = 1.0

    def begin(self, stage):
        self.factor = 2.0

    def share(self, shared):
        return [vector * self.factor for vector in super().share(shared)]


class StagesOfOneName(GatedNetwork):
    """a_stages_state_goes_into_a_fresh_module"""

    def stages(self):
        return (Stage("train", epochs=1, judged=False), Stage("train"))


class DecidesTheUnknown(GatedNetwork):
    """a_stages_state_goes_into_a_fresh_module"""

    def decided(self):
        return frozenset({"gate"})


class SharpSums(GatedNetwork):
    """weights_sum_to_one_where_it_says_so"""

    def unit_weights(self, units, gate_inputs):
        weights = super().unit_weights(units, gate_inputs)
        return [None if w is None else 2 * w for w in weights]


class LastBatchOnly(GatedNetwork):
    """gate_weights_are_means_over_the_rows_evaluated"""

    def share(self, shared):
        for meter in self.meters:
            meter._adding = False
        return super().share(shared)


class EncodesForEachTask(GatedNetwork):
    """the_interaction_is_computed_once"""

    def forward(self, fields, encode=None):
        return [
            super(EncodesForEachTask, self).forward(fields, encode)[t]
            for t in range(len(self.tasks))
        ]


class GroupsTwice(GatedNetwork):
    """parameter_groups_hold_own_parameters_once"""

    def parameter_groups(self):
        return [ParameterGroup(name, list(self.gates.parameters())) for name in ("a", "b")]


class KeepsTheGraph(GatedNetwork):
    """a_copy_after_a_step_is_whole"""

    def share(self, shared):
        self.last = super().share(shared)
        return self.last


class MovesInAnAlphaStep(GatedNetwork):
    """an_alpha_step_leaves_its_state_alone"""

    def __init__(self, **socket):
        super().__init__(**socket)
        self.norm = nn.BatchNorm1d(5)

    def share(self, shared):
        return [self.norm(vector) for vector in super().share(shared)]


class UnevenSlots(GatedNetwork):
    """slot_weights_share_each_level_among_its_slots"""

    def slot_weights(self):
        return 2 * super().slot_weights()


class PacksTooLittle(GatedNetwork):
    """a_packed_state_unpacks"""

    def pack(self):
        return {name: tensor.half() for name, tensor in super().pack().items()}


class HidesExperts(GatedNetwork):
    """a_task_reads_the_experts_it_says"""

    def __init__(self, **socket):
        super().__init__(**socket)
        self.others, self.experts = self.experts, nn.ModuleList()

    def outputs(self, slots, inputs):
        return [self.others[slot](x) for slot, x in zip(slots, inputs, strict=True)]


WRONG = [
    value
    for value in list(vars().values())
    if isinstance(value, type) and value.__module__ == __name__ and value is not Noisy
]
