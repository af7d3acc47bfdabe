"""The comparison's script: from data to a table, each test row read once, and what is there is not
done again.
"""

import runpy

from automtl import Architecture
from automtl.files import read_json
from tests.house import ROOT
from tests.support import write_dataset

SCRIPT = ROOT / "scripts" / "reproduce_compare.py"


def test_a_second_start_goes_on_and_reads_no_test_row_again(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    script = runpy.run_path(str(SCRIPT))
    data, out = write_dataset(tmp_path / "data"), tmp_path / "out"
    small = [
        "--out",
        str(out),
        "--data",
        str(data),
        "--epochs",
        "1",
        "--search-epochs",
        "2",
        "--models",
        "darts",
        "mmoe",
    ]
    script["main"]([*small, "--seeds", "1"])
    before = {
        path: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and "mmoe" not in path.parts
    }
    script["main"]([*small, "--seeds", "2"])
    assert all(
        path.read_bytes() == content
        for path, content in before.items()
        if path.name not in ("report.html", ".lock")
    )
    reads = [read_json(path)["test_reads"] for path in out.glob("*/retrain/*/manifest.json")]
    assert reads == [1] * 4


def test_every_template_keeps_its_kind_and_is_smaller(tmp_path):
    script = runpy.run_path(str(SCRIPT))
    for name in script["SIZES"]:
        made, shipped = (
            Architecture.load(script["template"](name, tmp_path)),
            Architecture.load(name),
        )
        assert (
            made.sharing.kind == shipped.sharing.kind
            and made.towers == shipped.towers
            and made.is_template
        )
        widths = [sum(o.argument for e in a.experts for o in e.operations) for a in (made, shipped)]
        assert widths[0] * 4 <= widths[1]
