"""One step of training, and its guard."""

from automtl.training.step._step import train_step

__all__ = ["train_step"]
