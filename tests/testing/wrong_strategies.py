"""Strategies that are wrong in one way each; the docstring names the rule that is meant to say so."""

from dataclasses import replace

import numpy as np
import torch

from automtl.strategies._random import RandomSampling, RandomSearch


class NoEntropy(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        return {key: value for key, value in super().record().items() if key != "entropy"}


class WrongShares(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        usage = {task: [2 * w for w in ws] for task, ws in super().record()["expert_usage"].items()}
        return {**super().record(), "expert_usage": usage}


class NoJson(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        return {**super().record(), "entropy": np.float32(0)}


class NegativeShares(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        usage = super().record()["expert_usage"]
        return {**super().record(), "expert_usage": {task: [2.0, -1.0, 0.0] for task in usage}}


class EndlessEntropy(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        return {**super().record(), "entropy": float("inf")}


class UnknownCandidates(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        choices = super().record()["choices"]
        return {**super().record(), "choices": {name: {"mlp(9)": 1.0} for name in choices}}


class ForgetsAnExpert(RandomSampling):
    """every_epoch_records_choices_and_usage"""

    def record(self):
        usage = super().record()["expert_usage"]
        return {**super().record(), "expert_usage": {task: [1.0] for task in usage}}


class LeavesTheSpace(RandomSampling):
    """what_it_derives_builds"""

    def derive(self):
        return super().derive().evolve(interaction=("mlp(9)",))


class TooFewExperts(RandomSampling):
    """what_it_derives_builds"""

    def derive(self):
        made = super().derive()
        return made.evolve(chosen=tuple(task[:1] for task in made.chosen))


class TorchsDraws(RandomSampling):
    """same_seed_same_search"""

    def record(self):
        return {**super().record(), "drawn": float(torch.rand(1))}


class ForgetsADraw(RandomSampling):
    """it_resumes_to_the_same_bits"""

    def __init__(self, context):
        super().__init__(context)
        self.epochs, self.done = 4, 0

    def run_epoch(self, epoch, start=0):
        self.done += 1
        yield from ()

    def record(self):
        return {**super().record(), "done": self.done}


class StateIsNoJson(RandomSampling):
    """its_state_is_tensors_and_json"""

    def state_dict(self):
        return {"genome": {"of": [self.genome]}}


class TakesAnyState(RandomSampling):
    """what_is_no_state_of_its_is_refused"""

    def load_state_dict(self, state):
        pass


class StandsAnywhere(RandomSampling):
    """what_is_no_state_of_its_is_refused"""

    def stands_at(self, epoch, step):
        return True


class ReadsQuietly(RandomSampling):
    """the_ledger_tells_of_what_was_read"""

    def derive(self):
        self.seen = [len(batch) for batch in self.context.scored.epoch(0)]
        return super().derive()


class TrainsOnAlphaRows(RandomSearch):
    """the_ledger_tells_of_what_was_read"""

    def __init__(self, context):
        super().__init__(replace(context, fit=context.alpha))


class RowsOutsideTheLedger(RandomSampling):
    """its_rows_are_counted"""

    def __init__(self, context):
        super().__init__(context)
        self.samples = 32


class ProposesTwice(RandomSampling):
    """proposals_begin_with_what_it_derives"""

    def proposals(self, count):
        return [self.derive()] * count


class ProposesAnother(RandomSampling):
    """proposals_begin_with_what_it_derives"""

    def proposals(self, count):
        return super().proposals(count + 1)[1:]


class Decides(RandomSampling):
    """it_decides_nothing_and_says_what_that_rests_on"""

    def decisions(self, architecture):
        return tuple(replace(d, verdict="decided") for d in super().decisions(architecture))


class SaysTooLittle(RandomSampling):
    """it_decides_nothing_and_says_what_that_rests_on"""

    def decisions(self, architecture):
        return super().decisions(architecture)[1:]


WRONG = [
    value
    for value in list(vars().values())
    if isinstance(value, type) and value.__module__ == __name__
]
