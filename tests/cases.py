"""Tables of cases: `make test` runs the first of them, and `make test-long` the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def cases(*standing: Any, long: Iterable[Any]) -> list[Any]:
    """The argument of `parametrize`; a case of several values is a tuple, and may be made by `pytest.param`."""
    return [*standing, *map(_long, long)]


def _long(case: Any) -> Any:
    values, name = (case.values, case.id) if hasattr(case, "values") and hasattr(case, "marks") else (case, None)
    return pytest.param(*(values if isinstance(values, tuple) else (values,)), id=name, marks=pytest.mark.long)
