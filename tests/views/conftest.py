"""One lake for all that looks at views; no test changes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.analysts import Analysed, analysed


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analysed]:
    """A lake of a workspace in which much was deleted after it had been read."""
    yield from analysed(tmp_path_factory.mktemp("facts"))
