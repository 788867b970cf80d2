"""Content of rows, answers and headers reaches no message, no log, no error, and nothing that a run leaves behind."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from pipeline.months import Month
from pipeline.proof.comparing import Verification
from pipeline.proof.verify import choose_verifiable, verify_in
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.results import StreamResult
from pipeline.syncing.backfill import backfill_in
from pipeline.syncing.session import Session, open_session
from pipeline.syncing.sync import choose, sync_in
from rapidlake import QueryError, open_lake
from tests.cases import cases
from tests.lakes import rows
from tests.leaks.conversations import CONVERSATIONS, first_asked, rows_asked
from tests.leaks.odd_rows import ODD_ROWS, ODD_WORDS
from tests.leaks.planting import TOKEN, everything, found, phone, sentence
from tests.leaks.scene import Scene, copied, filled_lake, lying_server
from tests.leaks.serving import HEALTHY, Conversation, Liar
from tests.leaks.stores import STORES

BY_WINDOW, BY_SNAPSHOT = ("contacts", "messages"), ("globals", "resthook_events")
AGAIN = Options(archives=ArchiveChoice(again=True))
ROWS = [one for one in CONVERSATIONS.values() if one.where is rows_asked]
FIRST = [one for one in CONVERSATIONS.values() if one.where is first_asked]
# In this order: what some leave, others show.
QUICK_COMMANDS = (
    ("sync", "--full"),
    ("verify", "globals", "contacts", "messages", "--repair"),
    ("archives",),
    ("doctor",),
    ("status",),
    ("sql", "SELECT text::INT FROM messages", "--format", "csv", "-o", "answer.csv"),
    ("sql", "SELECT name::DATE FROM contacts"),
    ("sql", "SELECT error(text) FROM messages"),
)
OTHER_COMMANDS = (
    ("sync", "--json"),
    ("verify", "--repair", "--accept-deletions"),
    ("verify", "--json"),
    ("backfill", "MONTH"),
    ("archives", "--load", "--again"),
    ("archives", "--json"),
    ("doctor", "--json"),
    ("status", "--json"),
    ("status", "--months"),
    ("maintain",),
    ("maintain", "--json"),
    ("report",),
    ("dictionary",),
    ("dictionary", "--json"),
    ("export",),
    ("sql", "SELECT count(*) FROM messages"),
)

# Of those that ask the server, each with its own way of asking and telling.
ASKING = (
    ("sync", "--full", "archives", *BY_WINDOW, *BY_SNAPSHOT),
    ("verify", "--repair", "--json", "contacts", "globals"),
    ("backfill", "MONTH"),
    ("archives", "--load", "--again"),
    ("doctor",),
    ("status", "--json"),
)


def _command(words: tuple[str, ...]) -> Any:
    return pytest.param(words, id=" ".join(words))


def of(conversations: Iterable[Conversation], *standing: str) -> pytest.MarkDecorator:
    """The standing ones in `make test`, and all others in `make test-long`."""
    rest = [one for one in conversations if one.name not in standing]
    known = [CONVERSATIONS[name] for name in standing]
    return pytest.mark.parametrize("conversation", cases(*known, long=rest), ids=lambda one: one.name)


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with lying_server() as liar:
        yield liar


@pytest.fixture(scope="module")
def filled(liar: Liar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of the workspace, read once in peace."""

    def fill(scene: Scene) -> None:
        with open_session(scene.settings()) as session:
            sync_in(session, scene.settings(), choose([]), scene.lines(), Options())

    return filled_lake(liar, tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture(scope="module")
def opened(liar: Liar, filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Session]]:
    """A copy of it that stays open: to open one costs more than most conversations."""
    place = tmp_path_factory.mktemp("opened")
    copied(filled, place)
    scene = Scene(liar, place)
    with open_session(scene.settings()) as session:
        yield scene, session


@pytest.fixture
def reading(opened: tuple[Scene, Session]) -> Iterator[tuple[Scene, Session]]:
    """The same for one test; what it wrote about itself is forgotten."""
    scene, session = opened
    scene.looked.leaks.clear()
    scene.unexpected.clear()
    yield scene, session
    session.loss.forget()
    session.lake.commit(lambda connection: [connection.execute(f"DELETE FROM {t}") for t in ("_sync", "_verification")])


@pytest.fixture(scope="module")
def spoilt(liar: Liar, filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A lake for one command after another."""
    place = tmp_path_factory.mktemp("odd")
    copied(filled, place)
    return Scene(liar, place)


@pytest.fixture
def odd(spoilt: Scene) -> Scene:
    """The same for one test."""
    spoilt.looked.leaks.clear()
    spoilt.unexpected.clear()
    return spoilt


def assert_nothing_leaked(scene: Scene) -> None:
    assert list(dict.fromkeys(scene.looked.leaks)) == []
    assert scene.unexpected == []


def look_at(scene: Scene, results: list[StreamResult]) -> None:
    for result in results:
        scene.looked.at(f"result of {result.stream}", repr(result.facts()))


@pytest.mark.parametrize(
    "written",
    [
        f"x{sentence('a')}y",
        sentence("a").upper(),
        quote(sentence("a")),
        quote_plus(sentence("a")),
        "mukamana_is_hiv_positive",
        "… is HIV\n   positive",
        phone("a").lstrip("+"),
        f"…{TOKEN[:12]}",
        gzip.compress(everything("a").encode()),
        b"\0\1" + gzip.compress(everything("a").encode())[:-9],
        everything("a").encode("utf-16"),
    ],
)  # fmt: skip
def test_what_is_planted_is_found_however_it_is_written(written: str | bytes) -> None:
    assert found(written)


def test_what_is_planted_is_in_the_lake(filled: Path) -> None:
    assert rows(filled, "SELECT bool_and(contains(text, 'HIV')) FROM messages WHERE source = 'archive'") == [(True,)]
    assert rows(filled, "SELECT bool_and(contains(name, 'HIV')) FROM contacts WHERE name != ''") == [(True,)]
    assert found("".join(str(row) for row in rows(filled, "SELECT * FROM runs")))


@of(
    ROWS, "status-no-number", "redirect-to-planted-host", "chunk-size-no-number",
    "page-of-400", "next-that-is-refused",
)  # fmt: skip
def test_a_broken_answer_leaves_nothing_of_itself(reading: tuple[Scene, Session], conversation: Conversation) -> None:
    scene, session = reading
    with scene.within(conversation, "sync"):
        streams = choose([*BY_WINDOW, *BY_SNAPSHOT, "definitions", "statistics"])
        look_at(scene, sync_in(session, scene.settings(), streams, scene.lines(), Options(full=True)).streams)
    with scene.within(conversation, "verify"):
        verifying = scene.lines(verifying=True)
        done = verify_in(
            session,
            scene.settings(),
            choose_verifiable([*BY_WINDOW[:1], *BY_SNAPSHOT]),
            verifying,
            Options(),
            Verification(repair=True),
        )
        look_at(scene, done.results)
        scene.looked.at("findings", repr(done.findings))
        scene.looked.at("conclusion", done.conclusion)
    scene.look_around()
    assert_nothing_leaked(scene)


@of(FIRST, "workspace-other")
def test_an_answer_about_the_workspace_leaves_nothing_of_itself(
    liar: Liar, filled: Path, tmp_path: Path, conversation: Conversation
) -> None:
    scene = Scene(liar, tmp_path)
    copied(filled, tmp_path)
    with scene.within(conversation, "open a session"), open_session(scene.settings(), progress=scene.lines()):
        pass
    for words in (("doctor",), ("sync", "globals"), ("verify", "globals", "--json")):
        scene.command(conversation, *words)
    assert_nothing_leaked(scene)


@of(STORES.values(), "store-answers-403", "list-of-texts", "file-of-no-json")
def test_a_broken_archive_leaves_nothing_of_itself(reading: tuple[Scene, Session], conversation: Conversation) -> None:
    scene, session = reading
    with scene.within(conversation, "sync archives"):
        look_at(scene, sync_in(session, scene.settings(), choose(["archives"]), scene.lines(), AGAIN).streams)
    with scene.within(conversation, "backfill"):
        look_at(
            scene,
            backfill_in(session, scene.settings(), choose(["messages"]), [Month.parse(scene.month)], scene.lines()),
        )
    scene.look_around()
    assert_nothing_leaked(scene)


@pytest.mark.parametrize("words", cases(*map(_command, QUICK_COMMANDS), long=map(_command, OTHER_COMMANDS)))
def test_no_command_tells_of_odd_rows(odd: Scene, words: tuple[str, ...]) -> None:
    odd.command(ODD_ROWS, *words)
    assert_nothing_leaked(odd)


@pytest.mark.parametrize("query", ["SELECT text::INT FROM messages", "SELECT name::DATE FROM contacts"])
def test_an_error_in_a_notebook_shows_nothing_of_the_rows(odd: Scene, query: str) -> None:
    with odd.within(HEALTHY, query), open_lake(odd.lake) as lake, pytest.raises(QueryError) as raised:
        lake.df(query)
    odd.looked.at_error("traceback", raised.value)
    assert_nothing_leaked(odd)


@pytest.mark.long
def test_no_command_tells_of_rows_that_were_odd(odd: Scene) -> None:
    for words in (("verify", "--repair"), ("sync", "--full", "--accept-deletions"), ("status",)):
        odd.command(HEALTHY, *words)
    assert_nothing_leaked(odd)


@of([*CONVERSATIONS.values(), ODD_ROWS, ODD_WORDS])
def test_no_command_that_asks_tells_of_a_broken_conversation(odd: Scene, conversation: Conversation) -> None:
    for words in ASKING:
        odd.command(conversation, *words)
    assert_nothing_leaked(odd)


@pytest.mark.long
@pytest.mark.parametrize("words", [_command(words) for words in QUICK_COMMANDS + OTHER_COMMANDS])
def test_no_command_tells_of_a_lake_that_all_of_them_have_spoilt(odd: Scene, words: tuple[str, ...]) -> None:
    odd.command(HEALTHY, *words)
    assert_nothing_leaked(odd)
