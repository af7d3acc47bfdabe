"""The script of docs/nn.md trains each of the 17 modules of that page in a plain network and loop."""

import re
from typing import Any

import pytest
import torch

from tests.docs.blocks import blocks
from tests.house import ROOT
from tests.nn.modules import CLASSES

PAGE = "docs/nn.md"
NAMES = [cls.__name__ for cls in CLASSES.values()]


def script(name: str) -> str:
    """The page's imports, its block of one module, and its block with network and loop."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    [own] = re.findall(rf"^### {name}\n.*?^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    python = [block.text for block in blocks(PAGE) if block.info == "python"]
    [loop] = [block for block in python if "def train(" in block]
    return python[0] + own + loop


def train(name: str) -> tuple[Any, float, float]:
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(compile(script(name), f"{PAGE}: {name}", "exec"), names)
    net, (ids, labels), (new, wanted) = (
        names["Net"](names["share"]),
        names["rows"](20_000),
        names["rows"](5_000),
    )
    names["train"](net, ids, labels)
    with torch.no_grad():
        loss = names["loss_of"](net.eval()(new), wanted)
        constant = names["loss_of"]([torch.logit(p).expand(5_000) for p in labels.mean(0)], wanted)
    return net, float(loss), float(constant)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_ends_as_it_promises(name: str) -> None:
    net, loss, constant = train(name)
    assert type(net.share).__name__ == name
    assert loss < 0.75 * constant
    ends(name, net.share)


def ends(name: str, share: Any) -> None:
    """What a system leaves behind at the end of its last stage."""
    record = share.record()
    if name == "DSelectK":
        assert all(1 <= len(experts) <= 2 for experts in share.selected)
        assert [list(experts) for experts in share.selected] == list(record["experts"].values())
    elif name in ("SNRTrans", "SNRAver"):
        assert min(record["connections_on"]) < 0.75
        assert sum((mask.settled() == 0).sum() for mask in share.connections) > 0
    elif name == "MSSM":
        assert record["cells_off"] > 0.1
        assert sum((mask.settled() == 0).sum() for mask in share.connections) > 10
    elif name == "MoME":
        left = record["masked"]["inputs"]
        assert all(0 < now < before for now, before in left.values())
        assert share.base[0].weight.shape == (left["2"][0], left["0"][0])
        assert all(mask.rounded for mask in masks(share)) and 0 < record["masked"]["live"] < 1
    elif name in ("TopK", "Gumbel"):
        assert all((weights >= 0).all() for weights in share.gate_weights().values())


def masks(share: Any) -> list[Any]:
    return [module for module in share.modules() if hasattr(module, "rounded")]


def test_the_page_has_every_module_once() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == sorted(NAMES)
    for name in NAMES:
        [own] = re.findall(
            rf"^### {name}\n.*?^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE
        )
        assert 2 <= len(own.splitlines()) <= 6 and f"share = mtl.{name}(" in own
