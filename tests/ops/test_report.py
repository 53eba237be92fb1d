"""Reports: what is on the page and in the picture is what `stats` has found."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from PIL import Image
from tests.ops.making import grow, history

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.cli import app
from perdure.ops import probe, stats
from perdure.ops.opening import nameable
from perdure.ops.report import to_html, to_png
from perdure.ops.report.plots import plotted

EVIL = "<script>alert('1')</script>&\"\x07$\\frac \N{SNOWMAN}\u6f22"


class Page(HTMLParser):
    """Tags, texts and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def url(tmp_path):
    with open_saver(f"sqlite:///{tmp_path / 'state.db'}") as saver:
        history(saver)
        grow(saver, EVIL, 0, steps=6)
    return str(tmp_path / "state.db")


def test_page_says_what_was_found_and_needs_nothing_else(url):
    found = stats(url)
    page = Page(text := to_html(found, EVIL, probe=probe(url, reads=4, commits=3)))
    assert "script" not in page.tags
    assert page.texts.count(EVIL) >= 2  # the heading, and the thread's row
    shown = "\n".join(page.texts)
    assert f"{len(found.threads)} threads, {found.total(lambda one: one.checkpoints)} checkpoints" in shown
    for name in found.channels():
        assert name in shown
    assert "commits of 1 KB" in shown
    assert "of 4" in shown
    assert "of 3" in shown
    assert page.tags.count("svg") == 1
    assert not {name for name, _ in page.attributes} & {"src", "href", "onload", "onclick"}
    assert not [value for name, value in page.attributes if "//" in value and not name.startswith("xmlns")]
    plots = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    assert plots.get("viewBox")
    said = " ".join(each.text or "" for each in plots.iter() if each.tag.endswith("text"))
    assert EVIL[:8] in said
    assert "The largest threads" in said


def test_bars_are_as_long_as_what_they_stand_for_is_large(url):
    found = stats(url)
    days, growth, threads, channels = plotted(found, top=3).axes
    assert [each.get_height() for each in days.patches] == [*found.days().values()]
    assert [each.get_height() for each in growth.patches] == [*found.growth().values()]
    assert [each.get_width() for each in threads.patches] == [one.stored for one in found.threads[:3]]
    assert [each.get_width() for each in channels.patches] == [
        one.stored or one.whole for one in found.channels().values()
    ][:3]


def test_growth_never_falls_and_ends_with_all(url):
    found = stats(url)
    grown = [*found.growth().values()]
    assert grown == sorted(grown)
    assert grown[-1] == sum(found.days().values())


def test_picture_is_one_and_not_blank(url):
    image = Image.open(io.BytesIO(to_png(stats(url), EVIL, probe=probe(url))))
    assert image.format == "PNG"
    assert image.width > 1500
    colours = {colour: count for count, colour in image.convert("RGB").getcolors(1 << 20)}
    assert colours[(0x3E, 0x7C, 0xB1)] > 5_000  # bars
    assert len(colours) > 20  # texts, with smooth edges
    assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize("saver", [InMemorySaver(), history(InMemorySaver())])
def test_nothing_and_what_only_knows_values_can_be_reported(saver):
    found = stats(saver)
    assert "threads" in to_html(found, "memory")
    assert Image.open(io.BytesIO(to_png(found, "memory"))).height > 100


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis", "s3"])
def test_probe_times_reads_and_commits_and_leaves_nothing(place_of, kind):
    where = place_of(kind)
    with open_saver(where) as saver:
        assert probe(saver) == (None, None)
        grow(saver, "one", 1, steps=2)
        took = probe(saver, reads=10, commits=5)
        assert (took.read.times, took.commit.times) == (1, 5)
        assert 0 < took.commit.p50 <= took.commit.p95 <= took.commit.p99 <= took.commit.most < 10
        assert list(saver.threads()) == ["one"]


def test_command_writes_both(url, tmp_path, monkeypatch, capsys):
    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["perdure", "stats", url, *words])
        return app.start()

    page, picture = tmp_path / "page.html", tmp_path / "picture.png"
    assert call("--html", str(page), "--png", str(picture), "--probe", "5") == 0
    out = capsys.readouterr().out
    assert "p95" in out
    assert "p95" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert call("--json", "--probe", "2") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["latency"]["commit"]["times"] == 2
    assert told["growth"].keys() == told["days"].keys()
    assert call("--html", str(tmp_path / "none" / "page.html")) != 0
    assert "can't write" in capsys.readouterr().err


def test_passwords_are_not_shown():
    assert nameable("postgresql://me:s3cret@host:5/db?password=s3cret") == "postgresql://host:5/db"
    assert nameable("s3://bucket/prefix?endpoint=http://me:s3cret@x") == "s3://bucket/prefix"
    assert nameable("state.db") == "state.db"
