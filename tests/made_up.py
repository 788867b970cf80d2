"""What Hypothesis makes up: odd texts, rows, pages and files; the same ones in each run, and nothing kept of them."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(tempfile.gettempdir())
settings.register_profile("same", database=None, deadline=None, derandomize=True)
settings.load_profile("same")

TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.dictionaries(TEXTS, VALUES, max_size=4)
# What no JSON reader takes where a value stands; it leaves what is around it whole.
ODD = st.sampled_from(
    [
        rb'{"text": "\ud83d"}',
        rb'{"text": "\ude00 and \ud83d\n"}',
        rb'{"\ud83d": 1}',
        b'{"value": NaN}',
        b"[-Infinity, 1]",
        b'{"text": "a\nb"}',
        b'{"text": "\x01"}',
        b'{"text": "\xff\xfe"}',
        b'{"text": "\xed\xa0\xbd"}',
        b'{"text": "\xc3"}',
        rb'{"text": "\x"}',
        b'{"offset": 01}',
        b'{"a": 1,}',
        b'{"a" 1}',
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 3000 + b"{}" + b"}" * 3000,
        b"undefined",
    ]
)


@st.composite
def encoded(draw: st.DrawFn, values: st.SearchStrategy[Any] = ROWS) -> bytes:
    """A value as JSON, written in one of the ways that there are."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    text = json.dumps(draw(values), ensure_ascii=draw(st.booleans()), separators=separators)
    return text.encode("utf-8", "backslashreplace")
