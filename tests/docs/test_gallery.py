"""The gallery shows every shipped architecture as it is drawn today."""

from scripts import gallery
from tests.house import ROOT


def test_the_page_is_that_of_the_script():
    assert (ROOT / "docs/gallery.md").read_text() == gallery.page(), "run python -m scripts.gallery"


def test_the_pictures_are_those_that_are_drawn(tmp_path):
    gallery.draw(tmp_path)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "docs/gallery").iterdir()}
    assert drawn.keys() == kept.keys()
    assert [name for name in drawn if drawn[name] != kept[name]] == [], (
        "run python -m scripts.gallery"
    )
