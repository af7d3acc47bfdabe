"""torch-rechub's side of `scripts/bench_peers.py`: its own models and trainer, run in a venv of its
own.

    python scripts/peers/rechub.py '{"task": "step" | "feed" | "epoch" | "auc", "rows": "rows.npz", ...}'

Made equal to the other sides: the numeric columns go through one Linear(M, d) into a field of their
own, gates are bias-free Linears.
"""

import contextlib
import json
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE, PLE
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator
from turns import Done, Turns, rows, say, slices


class Joint(nn.Module):
    """The numeric columns as one more field, before a model that takes fields."""

    def __init__(self, net: nn.Module, numbers: int, dim: int) -> None:
        super().__init__()
        self.net, self.numeric = net, nn.Linear(numbers, dim)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        ids = {name: value for name, value in x.items() if name != "dense"}
        return self.net({**ids, "joint": self.numeric(x["dense"].float())})


def gate(width: int, experts: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, experts, bias=False), nn.Softmax(dim=-1))


def net_of(o: dict[str, Any]) -> nn.Module:
    dim, tasks = o["dim"], o["tasks"]
    fields = [
        SparseFeature(f"c{i}", vocab_size=v, embed_dim=dim) for i, v in enumerate(o["vocabulary"])
    ]
    fields += [DenseFeature("joint", embed_dim=dim)] if o["numbers"] else []
    experts = {"dims": o["experts"], "activation": "relu", "dropout": o["dropout"]}
    towers = [
        {"dims": o["towers"], "activation": "relu", "dropout": o["dropout"]} for _ in range(tasks)
    ]
    kinds, width = ["classification"] * tasks, dim * len(fields)
    if o["model"] == "mmoe":
        net = MMOE(
            fields, kinds, n_expert=o["count"], expert_params=experts, tower_params_list=towers
        )
        net.gates = nn.ModuleList(gate(width, o["count"]) for _ in range(tasks))
    else:
        own = o["count"]
        net = PLE(
            fields,
            kinds,
            n_level=2,
            n_expert_specific=own,
            n_expert_shared=own,
            expert_params=experts,
            tower_params_list=towers,
        )
        for level, inputs in zip(net.cgc_layers, (width, o["experts"][-1]), strict=True):
            level.gates_specific = nn.ModuleList(gate(inputs, 2 * own) for _ in range(tasks))
        net.cgc_layers[0].gate_shared = gate(width, (tasks + 1) * own)
    return Joint(net, o["numbers"], dim) if o["numbers"] else net


def columns(ids: np.ndarray, dense: np.ndarray) -> dict[str, np.ndarray]:
    """Its input: a column per name."""
    return {
        **{f"c{i}": ids[:, i] for i in range(ids.shape[1])},
        **({"dense": dense} if dense.shape[1] else {}),
    }


class Batches:
    """Ready batches, a turn before each: the trainer's steps without feeding."""

    def __init__(self, x: dict[str, np.ndarray], y: np.ndarray, size: int) -> None:
        parts = list(slices(len(y), size))[: max(1, len(y) // size)]
        self.batches = [
            ({k: torch.from_numpy(v[p].copy()) for k, v in x.items()}, torch.from_numpy(y[p]))
            for p in parts
        ]

    def __iter__(self) -> Any:
        turn = Turns()
        while True:
            for batch in self.batches:
                turn()
                yield batch


def trainer_of(net: nn.Module, o: dict[str, Any], folder: str) -> MTLTrainer:
    kinds, adam = ["classification"] * o["tasks"], {"lr": o["lr"], "weight_decay": 0.0}
    epochs = o["epochs"] if o["task"] == "auc" else 1
    return MTLTrainer(
        net,
        task_types=kinds,
        optimizer_params=adam,
        n_epoch=epochs,
        earlystop_patience=99,
        model_path=folder,
    )


def main() -> None:
    o = json.loads(sys.argv[1])
    torch.set_num_threads(o["threads"])
    torch.manual_seed(o["seed"])
    data = rows(o["rows"])
    x, y = columns(data["train_ids"], data["train_dense"]), data["train_labels"]
    net = net_of(o)
    say(parameters=sum(p.numel() for p in net.parameters()))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        trainer = trainer_of(net, o, folder)
        if o["task"] == "step":
            with contextlib.suppress(Done):
                trainer.train_one_epoch(Batches(x, y, o["batch"]))
            return
        val = (columns(data["val_ids"], data["val_dense"]), data["val_labels"])
        if o["task"] == "feed":  # its documented form: a column per feature
            x = {
                **{name: v for name, v in x.items() if name != "dense"},
                **{f"n{i}": v for i, v in enumerate(data["train_dense"].T)},
            }
        loaders = DataGenerator(x, y).generate_dataloader(
            x_val=val[0], y_val=val[1], x_test=val[0], y_test=val[1], batch_size=o["batch"]
        )
        turn = Turns()
        with contextlib.suppress(Done):
            while o["task"] == "feed":
                turn()
                for _ in loaders[0]:
                    pass
            while o["task"] == "epoch":
                turn()
                trainer.fit(loaders[0], loaders[1])
        if o["task"] == "auc":
            start = time.perf_counter()
            trainer.fit(loaders[0], loaders[1])
            test = DataGenerator(columns(data["test_ids"], data["test_dense"]), data["test_labels"])
            order = test.generate_dataloader(
                x_val=val[0],
                y_val=val[1],
                x_test=test.dataset.x,
                y_test=test.dataset.y,
                batch_size=4096,
            )[2]
            predictions = np.asarray(
                trainer.predict(trainer.model, (inputs for inputs, _ in order)), dtype=np.float64
            )
            np.save(o["out"], predictions)
            say(seconds=time.perf_counter() - start)


main()
