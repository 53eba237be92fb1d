"""Pictures: everything is on them, nothing lies on anything else."""

import builtins
import itertools
import re
from typing import Literal
from xml.etree import ElementTree as ET

import pytest
from typing_extensions import TypedDict

from perdure.errors import UsageError
from perdure.graph import END, START, StateGraph
from perdure.graph.picture import lay_out, to_svg
from perdure.types import Command


class State(TypedDict):
    n: int


def node(state: State) -> State:
    return state


def going(state: State) -> Command[Literal["a", "z"]]:
    return Command(goto="a")


def example():
    inner = StateGraph(State).add_node("think", node).add_node("check", node)
    inner.add_edge(START, "think").add_edge("think", "check")
    inner.add_conditional_edges("check", lambda state: "again", {"again": "think", "fine": END})
    builder = StateGraph(State).add_node("a", node).add_node("b & <b>", node).add_node("sub", inner.compile())
    builder.add_node("going", going).add_node("z", node).add_node("selfish", node)
    builder.add_edge(START, "a").add_edge("a", "b & <b>").add_edge("a", "sub").add_edge(["b & <b>", "sub"], "going")
    builder.add_conditional_edges("selfish", lambda state: "x", {"more": "selfish", "done": "z"})
    builder.add_edge("a", "selfish").add_edge("z", END)
    return builder.compile()


@pytest.mark.parametrize("xray", [False, True])
def test_boxes_lie_apart_and_lines_touch_theirs(xray):
    graph = example().get_graph(xray=xray)
    picture = lay_out(graph)
    assert len(picture.boxes) == len(graph.nodes)
    for one, other in itertools.combinations(picture.boxes, 2):
        sides = zip(one.center, other.center, one.size, other.size, strict=True)
        apart = [abs(a - b) - (s + t) / 2 for a, b, s, t in sides]
        assert max(apart) > 5, (one, other)
    places = dict(zip(graph.nodes, picture.boxes, strict=True))
    pairs = list(dict.fromkeys((edge.source, edge.target) for edge in graph.edges))
    assert len(picture.lines) == len(pairs)
    for line, (source, target) in zip(picture.lines, pairs, strict=True):
        for point, box in ((line.points[0], places[source]), (line.points[-1], places[target])):
            off = [abs(p - c) - s / 2 for p, c, s in zip(point, box.center, box.size, strict=True)]
            assert max(off) == pytest.approx(0, abs=0.5), (source, target)
    for x, y in [point for line in picture.lines for point in line.points]:
        assert 0 <= x <= picture.size[0]
        assert 0 <= y <= picture.size[1]


def test_svg_is_xml_with_every_name_and_label():
    svg = example().get_graph(xray=True).draw_svg()
    root = ET.fromstring(svg)
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"a", "b & <b>", "sub / think", "sub / check", "again", "fine", "more", "done", "__start__"} <= texts
    assert svg == example().get_graph(xray=True).draw_svg()  # the same graph, the same picture


def test_png_is_one(tmp_path):
    from PIL import Image

    file = tmp_path / "graph.png"
    png = example().get_graph().draw_png(str(file))
    assert file.read_bytes() == png == example().get_graph().draw_mermaid_png(draw_method="api")
    with Image.open(file) as image:
        image.load()
        width, height = lay_out(example().get_graph()).size
        assert image.size == (round(2 * width), round(2 * height))
        assert len(image.getcolors(10_000_000) or ()) > 10


@pytest.mark.parametrize("count", [1, 2, 60])
def test_small_and_large_graphs(count):
    builder = StateGraph(State)
    for at in range(count):
        builder.add_node(f"n{at}", node).add_edge(START if at < 2 else f"n{at // 2}", f"n{at}")
    picture = lay_out(builder.compile().get_graph())
    assert len(re.findall("<polygon", to_svg(picture))) == len(picture.lines)


def test_missing_packages_are_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(("grandalf", "PIL")):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    graph = example().get_graph()
    picture = lay_out(graph)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'perdure\[draw\]'"):
        graph.draw_svg()
    from perdure.graph.picture import to_png

    with pytest.raises(UsageError, match="a PNG needs Pillow"):
        to_png(picture)
