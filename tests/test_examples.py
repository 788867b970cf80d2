"""Every question in examples/ has an answer on a generated workspace, and stands in the folder's table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, generate
from tests.lakes import new_lake
from tests.workspaces import keep_days
from warehouse import Lake

FOLDER = Path(__file__).parents[1] / "examples"
FILES = sorted(FOLDER.glob("*.sql"))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A synced lake of a generated workspace."""
    path = new_lake(tmp_path_factory.mktemp("examples") / "lake")
    with generate(messages=3000) as workspace, Sandbox(keep_days(workspace, 3)) as sandbox:
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=path, requests_per_hour=0)
        assert not sync(settings, choose([]), Quiet()).failed
    with Lake.open(path) as lake, lake.connection() as opened:
        yield opened


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_question_has_an_answer(file: Path, connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.execute(file.read_text("utf-8")).fetchall()


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_question_is_asked_first_and_listed(file: Path) -> None:
    question = file.read_text("utf-8").splitlines()[0].removeprefix("-- ")
    assert question.endswith("?")
    assert f"| [{file.name}]({file.name}) | {question} |" in (FOLDER / "README.md").read_text("utf-8")
