"""Fast operations on tensors; they know no module.

Beside each stands the same in plain torch, `NAME_reference`: what it computes, as the formula
reads. ``tests/layers/test_kernels.py`` holds values and gradients of each pair against each other,
and ``scripts/bench_kernels.py`` times them.
"""
