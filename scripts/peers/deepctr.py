"""DeepCTR-Torch's side of `scripts/bench_peers.py`: its own models and `fit`, run in a venv of its
own; arguments as rechub.py's.

Made equal to the other sides: the numeric columns go through one Linear(M, d) into a field of their
own. Its PLE also builds a gate for the last level's shared experts, which no tower reads; the
parameter counts show it. Its training step is written out as `fit` does it, without the loader, so
that all sides' steps are timed on ready batches.
"""

import contextlib
import json
import sys
import time
import types
from typing import Any

import numpy as np
import torch
from torch import Tensor
from turns import Done, Turns, rows, say, slices


def no_network(*_: Any) -> Any:
    raise OSError("benchmarks ask no server for newer versions")


sys.modules["requests"] = types.SimpleNamespace(get=no_network)  # type: ignore[assignment]  # its check of versions at import
with contextlib.redirect_stdout(sys.stderr):
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import MMOE, PLE


class _Joint:
    """Mixed into a model: the numeric columns become one more field."""

    def widen(self, ids: int, numbers: int, dim: int) -> None:
        self.ids = ids
        self.numeric = torch.nn.Linear(numbers, dim)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "numeric"):
            return super().forward(x)  # type: ignore[misc]
        return super().forward(torch.cat([x[:, : self.ids], self.numeric(x[:, self.ids :])], dim=1))  # type: ignore[misc]


class JointMMOE(_Joint, MMOE):
    pass


class JointPLE(_Joint, PLE):
    pass


def net_of(o: dict[str, Any]) -> Any:
    fields = [
        SparseFeat(f"c{i}", vocabulary_size=v, embedding_dim=o["dim"])
        for i, v in enumerate(o["vocabulary"])
    ]
    fields += [DenseFeat("joint", o["dim"])] if o["numbers"] else []
    names = tuple(f"t{i}" for i in range(o["tasks"]))
    common: dict[str, Any] = {
        "expert_dnn_hidden_units": o["experts"],
        "gate_dnn_hidden_units": (),
        "tower_dnn_hidden_units": o["towers"],
        "l2_reg_embedding": 0.0,
        "l2_reg_linear": 0.0,
        "dnn_dropout": o["dropout"],
        "dnn_use_bn": True,
        "init_std": 0.05,  # its default of 1e-4 makes every layer start at zero
        "seed": o["seed"],
        "task_types": ("binary",) * o["tasks"],
        "task_names": names,
    }
    if o["model"] == "mmoe":
        net: Any = JointMMOE(fields, num_experts=o["count"], **common)
    else:
        net = JointPLE(
            fields,
            shared_expert_num=o["count"],
            specific_expert_num=o["count"],
            num_levels=2,
            **common,
        )
    if o["numbers"]:
        net.widen(len(o["vocabulary"]), o["numbers"], o["dim"])
    net.compile(
        torch.optim.Adam(net.parameters(), lr=o["lr"]),
        loss=["binary_crossentropy"] * o["tasks"],
        metrics=["auc"],
    )
    return net


def step(net: Any, x: Tensor, y: Tensor) -> None:
    """One update, as in its fit."""
    predicted = net(x)
    net.optim.zero_grad()
    loss = sum(
        net.loss_func[i](predicted[:, i], y[:, i], reduction="sum") for i in range(y.shape[1])
    )
    total = loss + net.get_regularization_loss() + net.aux_loss
    loss.item(), total.item()
    total.backward()
    net.optim.step()


def matrix(data: dict[str, np.ndarray], split: str) -> np.ndarray:
    return np.concatenate([data[f"{split}_ids"].astype(np.float32), data[f"{split}_dense"]], axis=1)


def inputs(data: dict[str, np.ndarray], split: str) -> dict[str, np.ndarray]:
    """What fit takes: an array per input."""
    found = {f"c{i}": data[f"{split}_ids"][:, i] for i in range(data[f"{split}_ids"].shape[1])}
    return {**found, "joint": data[f"{split}_dense"]} if data[f"{split}_dense"].shape[1] else found


def main() -> None:
    o = json.loads(sys.argv[1])
    torch.set_num_threads(o["threads"])
    torch.manual_seed(o["seed"])
    data = rows(o["rows"])
    with contextlib.redirect_stdout(sys.stderr):
        net = net_of(o)
    say(parameters=sum(p.numel() for p in net.parameters()))
    turn = Turns()
    with contextlib.suppress(Done), contextlib.redirect_stdout(sys.stderr):
        if o["task"] == "step":
            net.train()
            x, y = torch.from_numpy(matrix(data, "train")), torch.from_numpy(data["train_labels"])
            for part in slices(len(y), o["batch"]):
                turn()
                step(net, x[part], y[part])
        validation = (inputs(data, "val"), data["val_labels"])
        while o["task"] == "epoch":
            turn()
            net.fit(
                inputs(data, "train"),
                data["train_labels"],
                batch_size=o["batch"],
                epochs=1,
                verbose=0,
                validation_data=validation,
            )
        if o["task"] == "auc":
            start = time.perf_counter()
            net.fit(
                inputs(data, "train"),
                data["train_labels"],
                batch_size=o["batch"],
                epochs=o["epochs"],
                verbose=0,
            )
            np.save(o["out"], net.predict(inputs(data, "test"), 4096))
            say(seconds=time.perf_counter() - start)


main()
