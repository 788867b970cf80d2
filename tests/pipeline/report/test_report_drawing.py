"""Charts of odd texts and numbers: what can be drawn is, and nothing that cannot harms who asked for it."""

from __future__ import annotations

import base64
from xml.dom import minidom

from pipeline.report import charts
from pipeline.report.charts import Row, Spec
from pipeline.report.drawing import draw

CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)])) + "\u2028\u202e\ufeff\ufffd\ufffe\uffff\U0001ffff"
PLAIN: Spec = {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a", "type": "quantitative"}}}


def ranking(name: str, contacts: float | None = 3) -> list[Spec]:
    return charts.sizes(charts.ranking("group", "contacts", unit="contacts"), [group(name, contacts)], height=100)


def lines(name: str, contacts: float | None = 3) -> list[Spec]:
    weeks = [group(name, contacts) | {"week": week} for week in ("2026-01-05", "2026-01-12")]
    spec = charts.lines("week", "contacts", "group", names=[name], unit="contacts")
    return charts.sizes(spec, weeks, height=100)


def group(name: str, contacts: float | None) -> Row:
    return {"group": name, "contacts": contacts}


NAMES = {
    "control": CONTROLS, "empty": "", "long": "x" * 100_000, "many words": "word " * 20_000,
    "many accents": "a" + "\u0301" * 5_000, "marks": "<&>'\"\\`", "half a sign": "\ud800", "prototype": "__proto__",
    "null": "null",
}  # fmt: skip
NUMBERS = [None, float("nan"), float("inf"), -5, 0, 2**63, 1e308]


def test_whatever_a_thing_is_called_its_charts_are_drawn() -> None:
    asked = [(kind, spec) for kind, name in NAMES.items() for spec in (*ranking(name), *lines(name))]
    drawn = draw([spec for _, spec in asked], patience=60)
    assert {kind for (kind, _), svg in zip(asked, drawn, strict=True) if not svg} == set()
    for svg in filter(None, drawn):
        assert minidom.parseString(svg.encode()).documentElement.tagName == "svg"


def test_whatever_is_counted_its_charts_are_drawn() -> None:
    assert all(draw([spec for number in NUMBERS for spec in (*ranking("a", number), *lines("a", number))], patience=30))


def test_a_chart_shows_the_words_that_it_can() -> None:
    (svg,) = draw(ranking("Mothers\x0bclub")[:1])
    assert svg and "Mothers\ufffdclub" in svg


def test_a_chart_that_ends_the_renderer_costs_that_chart_alone() -> None:
    aborts = PLAIN | {"title": "a\x0bb"}
    drawn = draw([PLAIN, aborts, PLAIN, aborts, aborts, PLAIN])
    assert [bool(svg) for svg in drawn] == [True, False, True, False, False, True]
    assert drawn[0] == drawn[2] == drawn[5]


def test_a_chart_that_the_renderer_refuses_costs_that_chart_alone() -> None:
    assert [bool(svg) for svg in draw([PLAIN, {"mark": "nonsense"}, PLAIN])] == [True, False, True]


def test_a_chart_that_takes_for_ever_costs_that_chart_alone() -> None:
    for_ever = PLAIN | {"title": {"text": "x" * 1_000_000, "limit": 100}}
    assert [bool(svg) for svg in draw([PLAIN, for_ever], patience=4)] == [True, False]


def test_no_charts_are_drawn_in_no_time() -> None:
    assert draw([]) == []


def test_an_image_needs_both_widths() -> None:
    assert charts.image("<svg/>", None) is None
    both = charts.image("<svg a/>", "<svg/>")
    assert both and base64.b64decode(both.wide.partition(",")[2]) == b"<svg a/>"
