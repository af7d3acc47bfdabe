"""The candidates in numpy, written from the specification: parameters by name in, outputs out. No
torch, no shared code.
"""

from collections.abc import Callable, Mapping

import numpy as np

Array = np.ndarray
Params = Mapping[str, Array]
EPS = 1e-5


def batch_norm(x: Array, p: Params, prefix: str, training: bool) -> Array:
    if prefix + ".weight" not in p:  # switched off
        return x
    mean, var = (
        (x.mean(0), x.var(0))
        if training
        else (p[prefix + ".running_mean"], p[prefix + ".running_var"])
    )
    return (x - mean) / np.sqrt(var + EPS) * p[prefix + ".weight"] + p[prefix + ".bias"]


def running_statistics(
    x: Array, mean: Array, var: Array, momentum: float = 0.1
) -> tuple[Array, Array]:
    return (1 - momentum) * mean + momentum * x.mean(0), (1 - momentum) * var + momentum * x.var(
        0, ddof=1
    )


def linear(x: Array, p: Params, prefix: str) -> Array:
    return x @ p[prefix + ".weight"].T + p.get(prefix + ".bias", 0.0)


def gate(x: Array, p: Params, training: bool) -> Array:
    return batch_norm(x / (1 + np.exp(-linear(x, p, "linear"))), p, "ending.norm", training)


def mlp(x: Array, p: Params, training: bool) -> Array:
    hidden = np.maximum(
        batch_norm(linear(x.reshape(len(x), -1), p, "inner"), p, "inner_norm", training), 0
    )
    return batch_norm(linear(hidden, p, "outer"), p, "ending.norm", training)


def conv1d(x: Array, p: Params, training: bool) -> Array:
    kernel = p["conv.weight"].reshape(-1)
    half, width = len(kernel) // 2, x.shape[1]
    out = np.zeros_like(x)
    for i in range(width):
        for k, weight in enumerate(kernel):
            if 0 <= i + k - half < width:
                out[:, i] += weight * x[:, i + k - half]
    return batch_norm(out, p, "ending.norm", training)


def skip(x: Array, p: Params, training: bool) -> Array:
    return x.reshape(len(x), -1)


def dense(x: Array, p: Params, training: bool) -> Array:
    return np.maximum(batch_norm(linear(x, p, "linear"), p, "norm", training), 0)


def product_inner(x: Array, p: Params, training: bool) -> Array:
    fields = x.shape[1]
    pairs = [(x[:, i] * x[:, j]).sum(1) for i in range(fields) for j in range(i + 1, fields)]
    features = np.column_stack([x.reshape(len(x), -1), *pairs])
    return batch_norm(linear(features, p, "linear"), p, "ending.norm", training)


def product_outer(x: Array, p: Params, training: bool) -> Array:
    outer = np.stack([np.outer(row.sum(0), row.sum(0)).reshape(-1) for row in x])
    return batch_norm(
        linear(np.column_stack([x.reshape(len(x), -1), outer]), p, "linear"),
        p,
        "ending.norm",
        training,
    )


def cross(x: Array, p: Params, training: bool) -> Array:
    start = x.reshape(len(x), -1)
    layer = start
    for weight, bias in zip(p["weight"], p["bias"], strict=True):
        layer = start * (layer @ weight)[:, None] + bias + layer
    return batch_norm(layer, p, "ending.norm", training)


def self_attention(x: Array, p: Params, training: bool, heads: int) -> Array:
    rows, fields, dim = x.shape
    size = dim // heads
    query, key, value = np.split(linear(x, p, "project_in"), 3, axis=2)
    mixed = np.zeros_like(x)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = np.einsum("bic,bjc->bij", query[..., part], key[..., part]) / np.sqrt(size)
        weights = np.exp(scores - scores.max(2, keepdims=True))
        mixed[..., part] = np.einsum(
            "bij,bjc->bic", weights / weights.sum(2, keepdims=True), value[..., part]
        )
    out = x + linear(mixed, p, "project_out")
    out = (out - out.mean(2, keepdims=True)) / np.sqrt(out.var(2, keepdims=True) + EPS)
    return (out * p["norm.weight"] + p["norm.bias"]).reshape(rows, fields * dim)


def tower(x: Array, p: Params, training: bool) -> Array:
    layers = len({name.split(".")[1] for name in p if name.startswith("layers.")})
    for i in range(layers):
        x = dense(
            x, {name.removeprefix(f"layers.{i}."): value for name, value in p.items()}, training
        )
    return linear(x, p, "head").squeeze()


EXPERT: dict[str, Callable[..., Array]] = {
    "gate": gate,
    "mlp": mlp,
    "conv1d": conv1d,
    "skip": skip,
    "dense": dense,
}
INTERACTION: dict[str, Callable[..., Array]] = {
    "product(inner)": product_inner,
    "product(outer)": product_outer,
    "cross": cross,
    "self_attention": self_attention,
    "mlp": mlp,
    "skip": skip,
}


def softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max())
    return shifted / shifted.sum()
