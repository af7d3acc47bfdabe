"""The papers that the package is built on are cited wherever a reader may begin, and nothing is
cited that is not here.
"""

import re

import pytest
import yaml

import automtl
import automtl.sharing
from tests.house import ROOT, package_sources

PAPERS = {
    "AutoMTL: Automatic Multi-Task Learning Framework with Neural Architecture Search for "
    "Recommender Systems": (
        "anonymous",
        "",
    ),
    "DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to "
    "Multi-Task Learning": (
        "Hazimeh",
        "2106.03760",
    ),
    "MSSM: A Multiple-level Sparse Sharing Model for Efficient Multi-Task Learning": (
        "Ding",
        "10.1145/3404835.3463022",
    ),
    "AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning in Recommendations": (
        "Li",
        "10.1145/3580305.3599769",
    ),
    "MoME: Mixture-of-Masked-Experts for Efficient Multi-Task Recommendation": (
        "Xu",
        "10.1145/3626772.3657922",
    ),
}
OTHER = "AutoMTL: A Programming Framework for Automating Efficient Multi-Task Learning"


def words(text: str) -> str:
    return " ".join(text.replace("\n# ", " ").split())


@pytest.mark.parametrize("place", ["README.md", "docs/maths.md", "CITATION.cff", "docstring"])
def test_all_five_are_cited(place: str) -> None:
    text = words(
        automtl.sharing.__doc__ or ""
        if place == "docstring"
        else (ROOT / place).read_text(encoding="utf-8")
    )
    for title, (author, number) in PAPERS.items():
        assert title in text
        assert author.lower() in text.lower()
        assert number in text
    assert place == "docstring" or OTHER in text
    assert next(iter(PAPERS)) in words(automtl.__doc__ or "")


def test_the_citation_file_is_one() -> None:
    held = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(held)
    assert {
        reference["title"]: reference["authors"][0].get("family-names", "anonymous")
        for reference in held["references"]
    } == {title: author for title, (author, _) in PAPERS.items()}
    assert f"version = {held['version']}" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def test_no_docstring_cites_a_file_that_is_not_in_the_repository() -> None:
    cited = re.compile(r"(?<![./])\bspec(?:'s)?(?: section|/\w|\b(?=[.,;)]| \())")
    for text in (
        "(spec section 3)",
        "are the spec's (section 5)",
        "the rule of spec/sharing.md",
        "as the spec.",
    ):
        assert cited.search(text)
    lines = [
        line.strip()
        for s in package_sources()
        for line in s.path.read_text(encoding="utf-8").splitlines()
    ]
    assert [
        line
        for line in lines
        if cited.search(line) and "spec.loader" not in line and "(spec)" not in line
    ] == []
