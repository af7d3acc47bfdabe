"""The pictures of `automtl show`, measured: names there, nothing overlaps, letters large enough,
contrast in grey.
"""

import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import networkx as nx
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from automtl.errors import ConfigError
from automtl.models.derived import build_model
from automtl.reports.drawing import paint, render
from automtl.reports.drawing._layers import drawable
from automtl.reports.drawing.colours import PAPER, SOFT, TASKS, chip_ink, chip_paper
from automtl.reports.drawing.facts import Part, flat_width
from automtl.reports.drawing.layout import draw, lay_out
from automtl.spaces.architecture import Architecture, shipped_architectures
from automtl.spaces.catalogue import SHARING
from automtl.spaces.graph import to_graph
from tests.reports.architectures import searched, varied
from tests.support import small_schema

ARCHITECTURES = varied()


def names(architecture):
    return [f"{a.sharing.kind}, {a.name}" for a in architecture]


def svg_texts(figure) -> list[str]:
    root = ET.fromstring(render(figure, Path("x.svg")))
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def measured(figure):
    """Bounding boxes of all texts, in pixels of the figure, by the Agg renderer itself."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [
        (text, text.get_window_extent(renderer)) for text in figure.axes[0].texts if text.get_text()
    ]


def luminance(colour: str) -> float:
    """WCAG 2.1, written again here."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    a, b = sorted((luminance(one), luminance(other)))
    return (b + 0.05) / (a + 0.05)


def test_the_architectures_are_varied():
    assert len(ARCHITECTURES) >= 12 and {a.sharing.kind for a in ARCHITECTURES} == set(SHARING)
    assert {len(a.tasks) for a in ARCHITECTURES} >= set(range(1, 9)) and {
        len(a.experts) for a in ARCHITECTURES
    } >= {1, 12}


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=names(ARCHITECTURES))
def test_a_picture_names_all_parts_and_nothing_overlaps(architecture):
    costs = {
        node: Part(12_345, 67_890)
        for node, kind in to_graph(architecture).nodes(data="kind")
        if kind != "gate"
    }
    figure = paint(draw(architecture, costs))
    texts = svg_texts(figure)
    graph = to_graph(architecture)
    experts = {data["label"] for _, data in graph.nodes(data=True) if data["kind"] == "expert"}
    blocks = {block for _, data in graph.nodes(data=True) for block in data.get("blocks", ())}
    wanted = (
        {task.name for task in architecture.tasks}
        | experts
        | blocks
        | set(architecture.interaction)
    )
    assert wanted <= set(texts)

    boxes = measured(figure)
    for (one, a), (other, b) in combinations(boxes, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert not (wide > 0.5 and high > 0.5), (
            f"{one.get_text()!r} and {other.get_text()!r} overlap by {wide:.1f} x {high:.1f} px"
        )
    width, height = figure.get_size_inches() * figure.dpi
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for _, b in boxes)
    scale = 1200 / width
    assert min(text.get_fontsize() for text, _ in boxes) * scale * figure.dpi / 96 >= 7


@pytest.mark.parametrize("architecture", ARCHITECTURES[::4], ids=names(ARCHITECTURES[::4]))
def test_what_stands_on_a_card_stays_on_it_and_cards_stay_apart(architecture):
    scene = draw(architecture)
    for card in scene.cards:
        for rect in card.rects[1:]:
            assert card.x <= rect.x and rect.x + rect.width <= card.x + card.width + 0.01
            assert card.y <= rect.y and rect.y + rect.height <= card.y + card.height + 0.01
    solid = [card for card in scene.cards if card.kind != "pass"]
    for a, b in combinations(solid, 2):
        apart = (
            a.x + a.width <= b.x
            or b.x + b.width <= a.x
            or a.y + a.height <= b.y
            or b.y + b.height <= a.y
        )
        assert apart, f"{a.node} and {b.node} touch"


def test_contrast_holds_in_grey():
    for step in range(101):
        assert contrast(chip_paper(step / 100), chip_ink(step / 100)) >= 4.5
    greys = [luminance(chip_paper(step / 100)) for step in range(101)]
    assert greys == sorted(greys, reverse=True) and greys[0] - greys[-1] > 0.8
    assert min(contrast(colour, PAPER) for colour in (*TASKS, SOFT)) >= 4.5
    for colour in TASKS:  # a weight's bar is its task's colour at 0.2 over paper, under dark text
        tint = "#" + "".join(
            f"{round(255 * 0.8 + int(colour[i : i + 2], 16) * 0.2):02x}" for i in (1, 3, 5)
        )
        assert contrast(tint, "#17202a") >= 4.5


def test_shade_is_the_alpha_margin_and_port_figures_are_betas():
    architecture = searched(2, 4, blocks=2)
    drawing = lay_out(architecture)
    margins = {}
    for name, weights in architecture.choices.items():
        first, second = sorted(weights.values(), reverse=True)[:2]
        margins[name] = first - second
    for (node, block), choice in drawing.maker.choices.items():
        assert choice.margin == pytest.approx(margins[choice.name])
        assert drawing.maker.shade(node, block) == pytest.approx(margins[choice.name])
    [tower] = [card for card in drawing.scene.cards if card.node == "tower.0"]
    told = {label.text for label in tower.labels}
    weights = {entry.expert: entry.weight for entry in architecture.ranking[0]}
    assert {f"{weights[e]:.2f}" for e in architecture.chosen[0]} <= told
    assert {f"expert {e}" for e in architecture.chosen[0]} <= told


def decision(choice, verdict, alpha=None):
    return {
        "choice": choice,
        "taken": "it",
        "runner_up": "another",
        "verdict": verdict,
        "evidence": "trainings",
        "alpha": alpha,
    }


def test_shades_are_absolute_and_ties_are_hatched(tmp_path):
    plain = searched(2, 4, blocks=2)
    even = {b: dict.fromkeys(w, 1 / len(w)) for b, w in plain.choices.items()}
    drawing = lay_out(plain.evolve(choices=even))
    assert {drawing.maker.shade(*place) for place in drawing.maker.choices} == {0.0}
    names = list(plain.choices)
    ones = {b: {o: float(i == 0) for i, o in enumerate(w)} for b, w in plain.choices.items()}
    verdicts = ["decided", "tied", *["not decided"] * (len(names) - 2)]
    told = [decision(name, verdict) for name, verdict in zip(names, verdicts, strict=True)]
    drawing = lay_out(plain.evolve(choices=ones, provenance={"decisions": told}))
    maker = drawing.maker
    by_name = {choice.name: place for place, choice in maker.choices.items()}
    shades = {name: maker.shade(*by_name[name]) for name in by_name}
    hatched = {name for name in by_name if maker.tied(*by_name[name])}
    assert hatched == ({names[1]} & set(by_name))
    for name, verdict in zip(names, verdicts, strict=True):
        # an operation that was drawn has a weight of 1, which says nothing
        if name in shades:
            assert shades[name] == {"decided": 0.9, "tied": 0.2, "not decided": 0.0}[verdict]
    rects = [rect for card in drawing.scene.cards for rect in card.rects if rect.hatched]
    assert len(rects) == len(hatched) == 1
    assert any("not decided" in label.text for label in drawing.scene.labels)
    assert "found" not in " ".join(label.text for label in drawing.scene.labels)


def test_the_width_of_the_fields_is_that_of_the_network():
    schema = small_schema(1)
    for numeric in ("linear", "joint"):
        bound = Architecture(numeric=numeric, experts=searched(1, 1).experts).bind(schema)
        wide = build_model(bound, schema).projection.in_features
        assert flat_width(bound) == f"{wide // 16} × 16 = {wide}"


def test_costs_and_idle_experts_are_told():
    architecture = searched(1, 4)
    texts = svg_texts(
        paint(draw(architecture, {"projection": Part(9280, 18432), "tower.0": Part(100, 0)}))
    )
    assert "9.3k par. · 18.4k FLOP" in texts and "100 par." in texts
    idle = sorted(set(range(4)) - set(architecture.chosen[0]))
    assert f"not part of this model: expert {', '.join(map(str, idle))}" in texts


@pytest.mark.parametrize("architecture", ARCHITECTURES[::3], ids=names(ARCHITECTURES[::3]))
def test_the_drawn_graph_leads_as_the_graph_does(architecture):
    graph, drawn = to_graph(architecture), drawable(to_graph(architecture))
    towers = {n: d["task"] for n, d in graph.nodes(data=True) if d["kind"] == "tower"}
    for node in set(graph) & set(drawn):
        reached = {n for n in (nx.descendants(graph, node) | {node}) if n in towers}
        assert drawn.nodes[node]["tasks"] == {int(n.rpartition(".")[2]) for n in reached}
    for source, target in drawn.edges:
        assert drawn.nodes[target]["layer"] == drawn.nodes[source]["layer"] + 1, (
            "a wire spans one gap"
        )


def test_any_dataflow_can_be_drawn_in_columns():
    """Long wires, a node between, two ways into a tower: none of it is a kind of today."""
    graph = nx.DiGraph()
    for node, kind in {
        "field.0": "field",
        "a": "mask",
        "b": "expert",
        "c": "expert",
        "d": "gate",
        "tower.0": "tower",
    }.items():
        graph.add_node(
            node, kind=kind, label=node, task="click", blocks=("skip",) if kind == "expert" else ()
        )
    graph.add_edges_from(
        [
            ("field.0", "a"),
            ("a", "b"),
            ("b", "c"),
            ("c", "d"),
            ("d", "tower.0"),
            ("a", "d"),
            ("field.0", "tower.0"),
        ]
    )
    drawn = drawable(graph)
    assert all(drawn.nodes[t]["layer"] - drawn.nodes[s]["layer"] == 1 for s, t in drawn.edges)
    assert sum(kind == "pass" for _, kind in drawn.nodes(data="kind")) == 2 + 4
    assert [source for source, _ in drawn.nodes["tower.0"]["reads"]] == ["fields", "d"]


AWKWARD = [
    "$x^2$",
    "<script>alert(1)</script>",
    "quote \" & ' back\\",
    "\u202egnirts\u202c",
    "line\nbreak\x07",
    "日本 🎉",
    "x" * 10_000,
]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_makes_a_picture_in_every_format(name):
    architecture = searched(1, 2)
    architecture = architecture.evolve(
        name=name, tasks=(architecture.tasks[0].model_copy(update={"name": name}),)
    )
    figure = paint(draw(architecture))
    assert (
        render(figure, Path("x.png"))[:4] == b"\x89PNG"
        and render(figure, Path("x.pdf"))[:4] == b"%PDF"
    )
    texts = svg_texts(figure)  # parses, so no name broke the markup
    assert not any(re.search(r"[\x00-\x1f\u202a-\u202e\u2066-\u2069]", text) for text in texts)
    if len(name) < 30 and name.isprintable():
        assert name in texts


@pytest.mark.parametrize(
    "name", sorted(name for name in shipped_architectures() if Architecture.load(name).is_template)
)
def test_templates_are_drawn_for_every_task(name):
    texts = svg_texts(paint(draw(Architecture.load(name))))
    assert "every task" in texts and name in texts


def test_another_ending_is_refused():
    with pytest.raises(ConfigError, match=r"must end in one of \.png, \.svg, \.pdf"):
        render(paint(draw(searched(1, 1))), Path("x.gif"))


def test_the_same_architecture_gives_the_same_bytes():
    for ending in ("svg", "png", "pdf"):
        one, other = (render(paint(draw(searched(2, 3))), Path(f"x.{ending}")) for _ in range(2))
        assert one == other
