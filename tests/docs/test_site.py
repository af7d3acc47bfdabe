"""The pages build without a warning, every page is reachable, and nothing in them is fetched from
outside.
"""

import re
import subprocess
import sys
from types import ModuleType

import automtl
import automtl.benchmarks
import automtl.nn
import automtl.testing
from tests.docs.blocks import PAGES
from tests.house import ROOT


def test_the_site_builds_without_a_warning_and_asks_for_nothing_from_outside(tmp_path):
    build = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        str(tmp_path / "trees"),
    ]
    done = subprocess.run(
        [*build, str(ROOT / "docs"), str(tmp_path / "site")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    pages = {
        path.relative_to(tmp_path / "site").as_posix(): path.read_text()
        for path in (tmp_path / "site").rglob("*.html")
    }
    assert {
        page.removeprefix("docs/").replace(".md", ".html") for page in PAGES if page != "README.md"
    } <= set(pages)
    for module in (automtl, automtl.nn, automtl.benchmarks, automtl.testing):
        for name in module.__all__:
            if not isinstance(getattr(module, name), ModuleType):
                places = {f"{module.__name__}.{name}", f"automtl.nn.{name}"}
                assert any(f'id="{place}"' in pages["api.html"] for place in places), (
                    f"docs/api.md: {module.__name__}.{name} must have its place"
                )
    loaded = (
        r"""<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=["']((?:https?:)?//[^"']*)"""
    )
    assert [(page, url) for page, text in pages.items() for url in re.findall(loaded, text)] == []
    styles = "".join(path.read_text() for path in (tmp_path / "site" / "_static").rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles) == []
