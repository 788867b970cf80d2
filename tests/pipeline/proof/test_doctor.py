"""What the doctor says of a server whose clock, endpoints and answers are not as they should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from pipeline.proof.doctor import Finding, examine
from pipeline.settings import load_settings
from tests.conftest import Answer, Asked, Serve

WORKSPACE = b'{"uuid":"0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e","name":"Farm","languages":["eng"]}'


def examined(serve: Serve, lake: Path, *, clock: timedelta | None = timedelta(0), **statuses: int) -> list[Finding]:
    """What is found of a server that answers these endpoints with these statuses, and all others well."""

    def answer(asked: Asked) -> Answer:
        name = asked.path.removeprefix("/api/v2/").removesuffix(".json")
        headers = {} if clock is None else {"Date": format_datetime(datetime.now(UTC) + clock, usegmt=True)}
        if name in statuses:
            return Answer(b'{"detail":"no"}', statuses[name], headers)
        return Answer(WORKSPACE if name == "workspace" else Answer().body, headers=headers)

    settings = load_settings(url=serve(answer).url, token="token", lake=lake, patience=0)
    return examine(settings)


def test_endpoints_that_are_lacking_or_failing_are_named_and_those_of_some_servers_only_told(
    serve: Serve, tmp_path: Path
) -> None:
    found = examined(serve, tmp_path / "lake", flows=404, contacts=404, classifiers=404, labels=400, runs=403)
    wrong = {one.check: (one.found, one.advice) for one in found if not one.good}
    assert wrong.keys() == {"endpoints", "labels", "role"}
    assert wrong["endpoints"][0] == "the server lacks contacts, flows"
    assert wrong["role"] == ("the token may not read runs", "use a token of an Administrator or Editor")
    assert "(400)" in wrong["labels"][0]
    assert wrong["labels"][1] == "if it stays so, tell whoever runs the server"
    (told,) = [one.found for one in found if one.good and one.check == "endpoints"]
    assert told.endswith(" offered; not by this server: classifiers")


@pytest.mark.parametrize(
    ("clock", "good", "words"),
    [
        (timedelta(days=30), False, " s behind the server's; syncs end at the earlier of the two"),
        (timedelta(hours=-2), False, " s ahead of the server's; syncs end at the earlier of the two"),
        (timedelta(minutes=2), True, " s behind the server's; syncs end at the earlier of the two"),
        (timedelta(seconds=-12), True, "agrees with the server's"),
        (None, True, "cannot be compared: the server's answers tell no time; syncs follow this machine's"),
    ],
)
def test_a_clock_that_is_off_is_told_with_what_to_do_and_is_a_fault_beyond_some_minutes(
    clock: timedelta | None, good: bool, words: str, serve: Serve, tmp_path: Path
) -> None:
    (found,) = [one for one in examined(serve, tmp_path / "lake", clock=clock) if one.check == "clock"]
    assert found.good is good
    assert found.found.endswith(words)
    assert bool(found.advice) is ("the earlier" in words)
