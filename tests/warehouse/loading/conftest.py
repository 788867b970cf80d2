"""What tests of loading share: a lake that is empty again after each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lakes import new_lake
from tests.warehouse.loading.loader import Loader
from warehouse import Lake


@pytest.fixture(scope="module")
def loaded_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("load") / "lake")) as lake:
        yield lake


@pytest.fixture
def loader(loaded_lake: Lake, tmp_path: Path) -> Iterator[Loader]:
    """A loader into a lake that is empty again after the test."""
    loader = Loader(loaded_lake, tmp_path)
    yield loader
    loaded_lake.commit(lambda connection: [connection.execute(f'DELETE FROM "{name}"') for name in loader.used])
