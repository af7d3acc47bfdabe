"""Counts in the words of the package: `counted` says "1 row", a count beside a plain plural would
say "1 rows".
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ONE = re.compile(r"(?<![\d.,\w-])1 (seed|row|epoch|task|expert|model|field|column|time|trial)s\b")


def test_no_page_and_no_architecture_says_one_of_several():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = [f"{page.name}: {slip[0]}" for page in pages for slip in ONE.finditer(page.read_text())]
    for path in (ROOT / "derived_archs").rglob("*.json"):
        source = json.loads(path.read_text())["provenance"].get("source", "")
        found += [f"{path.name}: {slip[0]}" for slip in ONE.finditer(source)]
    assert not found


def test_the_slip_is_seen():
    assert ONE.search("retrained with 1 seeds") and ONE.search("got 1 rows")
    assert not ONE.search("11 seeds, 0.1 rows, 1 seed, 1,000 rows")
