"""Tables of trained architectures: which architecture reaches which loss on a data set, for judging
searches without training anything.

>>> import automtl
>>> table = automtl.benchmarks.load("census_income")  # doctest: +SKIP
"""

from automtl.benchmarks.gain import gain
from automtl.benchmarks.order import judge_order
from automtl.benchmarks.replay import Replayer
from automtl.benchmarks.tables import load, load_test, place

__all__ = ["Replayer", "gain", "judge_order", "load", "load_test", "place"]
