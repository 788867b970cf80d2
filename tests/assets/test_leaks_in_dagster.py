"""Content of rows, answers and headers reaches no log, event, metadata or file of Dagster, whatever the server says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.catalogue import LIVE
from assets.definitions import defs
from assets.sensors import SENSORS
from assets.workspace import workspace_from_environment
from tests.cases import cases
from tests.lakes import new_lake
from tests.leaks.conversations import CONVERSATIONS
from tests.leaks.odd_rows import ODD_ROWS, ODD_WORDS
from tests.leaks.planting import TOKEN
from tests.leaks.scene import SETTINGS, Scene, lying_server
from tests.leaks.serving import Conversation, Liar
from tests.leaks.stores import STORES

# Everything that Python logs goes to the pages of a run.
HOME = """
telemetry: {enabled: false}
python_logs:
  python_log_level: DEBUG
  managed_python_loggers: [root]
"""


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with lying_server() as liar:
        yield liar


@pytest.fixture
def scene(liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A lake without rows, and a home of Dagster, in the environment of a deployment."""
    scene = Scene(liar, tmp_path)
    new_lake(scene.lake)
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(HOME)
    given = {"RAPIDPRO_URL": liar.url, "RAPIDPRO_TOKEN": TOKEN, "RAPIDLAKE_LAKE": str(scene.lake)}
    for name, value in {**SETTINGS, **given, "DAGSTER_HOME": str(home), "HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAPIDLAKE_CACHE", str(tmp_path / "cache"))
    return scene


def run(scene: Scene, conversation: Conversation, *names: str, month: str | None = None) -> None:
    """Materialise assets, and look at what the run said, raised and noted."""
    with scene.within(conversation, f"assets {', '.join(names)}"), dg.DagsterInstance.get() as instance:
        chosen = [
            one for one in defs.assets or [] if isinstance(one, dg.AssetsDefinition) and one.key.path[-1] in names
        ]
        result = dg.materialize(
            chosen,
            instance=instance,
            resources={"workspace": workspace_from_environment()},
            partition_key=month,
            raise_on_error=False,
        )
        for event in instance.all_logs(result.run_id):
            scene.looked.at("event of the run", f"{event.level} {event.user_message} {event.dagster_event!r}")


def checks(scene: Scene, conversation: Conversation) -> None:
    """Ask all that can be asked of the lake."""
    with scene.within(conversation, "checks"), dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def("nightly_checks").execute_in_process(instance=instance, raise_on_error=False)
        for check in result.get_asset_check_evaluations():
            scene.looked.at(f"check {check.check_name}", repr(check))


def ticks(scene: Scene, conversation: Conversation) -> None:
    """Let the sensors look that need no run to be told of."""
    for sensor in SENSORS:
        if isinstance(sensor, dg.RunStatusSensorDefinition):
            continue
        with (
            scene.within(conversation, f"sensor {sensor.name}"),
            dg.DagsterInstance.get() as instance,
            dg.build_sensor_context(
                instance=instance, definitions=defs, resources={"workspace": workspace_from_environment()}
            ) as context,
        ):
            scene.looked.at("tick", repr(sensor.evaluate_tick(context)))


def assert_nothing_leaked(scene: Scene) -> None:
    scene.looked.doing = "afterwards"
    scene.look_around()
    scene.looked.at_folder(scene.place / "dagster")
    assert list(dict.fromkeys(scene.looked.leaks)) == []
    assert scene.unexpected == []


SINGLE = ("globals", "contacts", "archives", "fields", "tickets")


@pytest.mark.parametrize(
    "conversation",
    cases(
        CONVERSATIONS["page-of-500"],
        long=[one for one in CONVERSATIONS.values() if one.name != "page-of-500"],
    ),
    ids=lambda one: one.name,
)
def test_runs_leave_nothing_of_a_broken_conversation(scene: Scene, conversation: Conversation) -> None:
    run(scene, conversation, *SINGLE)
    run(scene, conversation, "messages", month=scene.month)
    if conversation.name in STORES or conversation.name.startswith("first"):
        ticks(scene, conversation)
    assert_nothing_leaked(scene)


def test_runs_tell_nothing_of_odd_rows(scene: Scene) -> None:
    run(scene, ODD_ROWS, "globals", "tickets")
    assert_nothing_leaked(scene)


def test_a_preview_shows_no_text_where_the_server_says_another_word_than_it_may(scene: Scene) -> None:
    run(scene, ODD_WORDS, "contacts", "fields")
    assert_nothing_leaked(scene)


@pytest.mark.long
def test_runs_checks_and_sensors_tell_nothing_of_odd_rows(scene: Scene) -> None:
    run(scene, ODD_ROWS, *{*SINGLE, *LIVE} - {"messages", "runs"}, "groups", "users", "definitions", "flows")
    run(scene, ODD_ROWS, "messages", month=scene.month)
    run(scene, ODD_ROWS, "verify", "maintain", "report")
    checks(scene, ODD_ROWS)
    ticks(scene, ODD_ROWS)
    assert_nothing_leaked(scene)
