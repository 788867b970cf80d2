"""What charts look like: specifications of Vega-Lite, in two widths: for a screen or paper, and for a phone.

A chart becomes an image of its own inside the page: nothing in it can run, whatever a workspace calls its things.
Series differ in lightness and dash too, so that a black and white print can be read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warehouse.text import for_xml

WIDE, NARROW = 640, 300
COLOURS = ["#12466b", "#d98032", "#5b9bc4", "#8c8c8c", "#a7c4a0"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3]]
# Longer ones are cut off on an axis anyway, and a text of 100,000 characters keeps the renderer busy for minutes.
MOST_CHARACTERS = 200
INK, MUTED, LINE = "#1c2733", "#5c6b7a", "#e3e8ed"

Row = Mapping[str, Any]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """A chart as data URLs of SVG images."""

    wide: str
    narrow: str


def sizes(spec: Spec, rows: Sequence[Row], *, height: int) -> list[Spec]:
    """The whole specification of a chart, wide and narrow; dates are days as YYYY-MM-DD, and stay those days."""
    return [drawable(_whole(spec, rows, width, height)) for width in (WIDE, NARROW)]


def image(wide: str | None, narrow: str | None) -> Image | None:
    """The chart that was drawn as these SVGs; None where one of them is missing."""
    return Image(_data_url(wide), _data_url(narrow)) if wide and narrow else None


def drawable(part: Any) -> Any:
    """A part of a specification with all of its texts as the renderer can take them: clean, and not too long."""
    if isinstance(part, str):
        return for_xml(part if len(part) <= MOST_CHARACTERS else part[: MOST_CHARACTERS - 1] + "…")
    if isinstance(part, Mapping):
        return {key: drawable(value) for key, value in part.items()}
    return [drawable(value) for value in part] if isinstance(part, list | tuple) else part


def lines(x: str, y: str, series: str, *, names: Sequence[str], unit: str, decimals: int = 0) -> Spec:
    """A line per series over weeks or days; `names` gives the series their order, colour and dash."""
    return {
        "mark": {"type": "line", "strokeWidth": 2.2, "interpolate": "monotone"},
        "encoding": {
            "x": _time(x),
            "y": _amount(y, unit, decimals),
            "color": {"field": series, "type": "nominal", **_scale(names, COLOURS), "legend": _legend("stroke")},
            "strokeDash": {"field": series, "type": "nominal", **_scale(names, DASHES)},
        },
    }


def columns(x: str, y: str, *, unit: str, classes: str | None = None) -> Spec:
    """A column per week; or per class in the order of the rows, where `classes` says what they are."""
    ordinal = {"field": x, "type": "ordinal", "sort": None, "title": classes, "axis": {"labelAngle": 0, "grid": False}}
    return {
        "mark": {"type": "bar", "color": COLOURS[0], "width": {"band": 0.6} if classes else 9},
        "encoding": {"x": ordinal if classes else _time(x), "y": _amount(y, unit, 0)},
    }


def ranking(y: str, x: str, *, unit: str) -> Spec:
    """A bar for each thing, in the order of the rows."""
    return {
        "mark": {"type": "bar", "color": COLOURS[0], "height": {"band": 0.7}},
        "encoding": {
            "y": {"field": y, "type": "nominal", "sort": None, "title": None},
            "x": _amount(x, unit, 0),
        },
    }


def bars(y: str, x: str, series: str, *, names: Sequence[str], unit: str) -> Spec:
    """Bars side by side, a group for each thing, in the order of the rows."""
    return {
        "mark": {"type": "bar", "height": {"band": 0.86}},
        "encoding": {
            "y": {"field": y, "type": "nominal", "sort": None, "title": None},
            "yOffset": {"field": series, "type": "nominal", "sort": list(names)},
            "x": _amount(x, unit, 0),
            "color": {"field": series, "type": "nominal", **_scale(names, COLOURS), "legend": _legend("square")},
        },
    }


def steps(y: str, x: str, lost: str, *, unit: str) -> Spec:
    """A bar per step in the order of the rows: how many came, and at its end how many of them went no further."""
    across: Spec = {"field": y, "type": "nominal", "sort": None, "title": None}
    return {
        "transform": [{"calculate": f"datum['{x}'] - datum['{lost}']", "as": "stayed"}],
        "encoding": {"y": across},
        "layer": [
            {"mark": {"type": "bar", "color": COLOURS[0]}, "encoding": {"x": _amount("stayed", unit, 0)}},
            {
                "mark": {"type": "bar", "color": COLOURS[1]},
                "encoding": {"x": {"field": "stayed", "type": "quantitative"}, "x2": {"field": x}},
            },
        ],
    }


def _time(field: str) -> Spec:
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc"},
        "title": None,
        "axis": {"format": "%-d %b", "grid": False},
    }


def _amount(field: str, unit: str, decimals: int) -> Spec:
    axis: Spec = {"format": f",.{decimals}f"}
    if not decimals:
        axis["tickMinStep"] = 1
    return {"field": field, "type": "quantitative", "title": unit, "axis": axis, "scale": {"zero": True}}


def _scale(names: Sequence[str], values: Sequence[Any]) -> Spec:
    return {"scale": {"domain": list(names), "range": [values[place % len(values)] for place in range(len(names))]}}


def _legend(symbol: str) -> Spec:
    return {
        "symbolType": symbol,
        "title": None,
        "orient": "top",
        "labelLimit": 180,
        "columns": 3,
        "symbolStrokeWidth": 3,
    }


def _whole(spec: Spec, rows: Sequence[Row], width: int, height: int) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": "transparent",
        "data": {"values": [dict(row) for row in rows]},
        "config": _config(narrow=width == NARROW),
        **spec,
    }


def _data_url(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _config(*, narrow: bool) -> Spec:
    """Calm: no frame, faint lines, small print; on a phone fewer marks on the axes and fewer names in a line."""
    return {
        "font": "Helvetica, Arial, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": MUTED,
            "titleColor": MUTED,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "gridColor": LINE,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "titlePadding": 8,
            "labelLimit": 100 if narrow else 190,
            "labelOverlap": True,
        },
        "axisBand": {"labelOverlap": False},
        "axisQuantitative": {"tickCount": 3 if narrow else 5},
        "axisTemporal": {"tickCount": 3 if narrow else 6},
        "legend": {"labelFontSize": 12, "labelColor": INK, "offset": 8},
    }
