"""What processes leave, at debug level: on the terminal, in their arguments and environments, in dumps of memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.report.drawing import RENDERER
from pipeline.syncing.sync import choose, sync
from tests import processes
from tests.leaks.apart import DUMPING, run_apart
from tests.leaks.conversations import CONVERSATIONS
from tests.leaks.planting import TOKEN, sentence
from tests.leaks.scene import Scene, copied, filled_lake, lying_server
from tests.leaks.serving import HEALTHY, Liar
from tests.leaks.stores import STORES

STREAMS = ("archives", "contacts", "flows", "globals", "groups", "messages", "runs")
# The renderer aborts at such a sign.
ABORTING = {
    "data": {"values": [{"a": 1}]}, "mark": "bar", "title": f"a\x0bb {sentence('title')}",
    "encoding": {"x": {"field": "a", "type": "quantitative"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with lying_server() as liar:
        yield liar


@pytest.fixture(scope="module")
def filled(liar: Liar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of what reports and syncs are about."""

    def fill(scene: Scene) -> None:
        sync(scene.settings(), choose(STREAMS), scene.lines())

    return filled_lake(liar, tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture
def scene(liar: Liar, filled: Path, tmp_path: Path) -> Scene:
    copied(filled, tmp_path)
    return Scene(liar, tmp_path)


def test_a_sync_that_fails_at_debug_level_says_nothing_of_the_answers(scene: Scene) -> None:
    run_apart(scene, CONVERSATIONS["page-of-500"], "sync", *STREAMS)
    run_apart(scene, STORES["store-answers-403"], "archives", "--load", "--again")
    run_apart(scene, HEALTHY, "sql", "SELECT text::INT FROM messages")
    assert list(dict.fromkeys(scene.looked.leaks)) == []


def test_processes_that_draw_charts_do_not_get_the_token(scene: Scene) -> None:
    started = run_apart(scene, HEALTHY, "report")
    drawing = [one for one in started if str(RENDERER).encode() in one.arguments]
    assert drawing
    assert [one for one in drawing if TOKEN.encode() in one.environment] == []
    assert list(dict.fromkeys(scene.looked.leaks)) == []


def test_a_query_in_the_prompt_cannot_ask_for_the_token(scene: Scene) -> None:
    run_apart(scene, HEALTHY, "shell", typed="SELECT getenv('RAPIDPRO_TOKEN');")
    assert list(dict.fromkeys(scene.looked.leaks)) == []


def test_a_drawing_that_crashes_leaves_no_dump_of_its_memory(tmp_path: Path) -> None:
    command = [*DUMPING, sys.executable, "-P", str(RENDERER)]
    done = processes.run(command, typed=json.dumps(ABORTING) + "\n", cwd=tmp_path)
    assert done.returncode < 0
    assert [path.name for path in tmp_path.iterdir()] == []
