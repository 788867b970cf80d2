"""The streams' SELECTs: what a row of the API or of an archive becomes in its table."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.streams import STREAMS
from warehouse import Lake, Table, forget_batch, merge, stage
from warehouse.lake.schema import COMMON_COLUMNS

Row = dict[str, Any]
Loading = Callable[..., Row]
LoadingAll = Callable[..., list[Row]]

FOLDER = Path(__file__).parents[3] / "warehouse"
CONTACT = "7d3aa0ab-0a4c-4c3e-8c62-7c5f0a9f2a0b"
FLOW = "b1f332f3-bdd3-4891-aec5-1843a712dbf1"
LABEL = "5a4eb79e-1b1f-4ae3-8700-09384cca385f"
TIME = "2026-03-28T12:58:26.494481"
SYSTEM = {"_analyst.sql", "_system.sql", "message_history.sql"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(tmp_path_factory.mktemp("rows") / "lake") as lake:
        yield lake


@pytest.fixture
def load_all(lake: Lake, tmp_path: Path) -> Iterator[LoadingAll]:
    """Load rows and return them in the order of their keys; the tables used are emptied afterwards."""
    used = {"_quarantine"}

    def load_all(stream: str, lines: list[str], languages: tuple[str, ...] = ()) -> list[Row]:
        used.add(stream)
        table, file = STREAMS[stream].table, tmp_path / "rows.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute("SET VARIABLE languages = string_split(?, ',')", [",".join(languages)])
            batch = stage(connection, table, [file])
            assert batch.reason is None
            merge(connection, batch)
            forget_batch(connection)

        lake.commit(work)
        with lake.connection() as connection:
            answer = connection.execute(f'SELECT * FROM "{stream}" ORDER BY "{table.key[0]}"')
            names = [column[0] for column in answer.description or []]
            return [dict(zip(names, values, strict=True)) for values in answer.fetchall()]

    yield load_all
    lake.commit(lambda connection: [connection.execute(f'DELETE FROM "{table}"') for table in used])


@pytest.fixture
def load(load_all: LoadingAll) -> Loading:
    """Load one row and return it as it stands in its table."""

    def load(stream: str, row: Row, languages: tuple[str, ...] = ()) -> Row:
        [loaded] = load_all(stream, [json.dumps(row)], languages)
        return loaded

    return load


# -- every stream has what it needs --


def test_there_is_one_table_file_and_one_rows_file_for_each_stream() -> None:
    assert {file.name for file in (FOLDER / "tables").glob("*.sql")} - SYSTEM == {f"{name}.sql" for name in STREAMS}
    assert {file.name for file in (FOLDER / "parsing" / "rows").glob("*.sql")} == {f"{name}.sql" for name in STREAMS}


@pytest.mark.parametrize("table", [stream.table for stream in STREAMS.values()], ids=STREAMS)
def test_the_select_of_a_stream_makes_the_columns_of_its_table(table: Table, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with lake.connection() as connection:
        batch = stage(connection, table, [tmp_path / "empty.jsonl"])
        made = connection.execute("DESCRIBE batch").fetchall()
        declared = connection.execute(f'DESCRIBE lake.main."{table.name}"').fetchall()
        forget_batch(connection)
    assert [column[:2] for column in made] == [column[:2] for column in declared]
    assert (batch.rows, batch.unreadable, batch.unknown_keys) == (0, 0, [])


@pytest.mark.parametrize("table", [stream.table for stream in STREAMS.values()], ids=STREAMS)
def test_what_loading_knows_of_a_table_is_true_of_it(table: Table, lake: Lake) -> None:
    columns = dict(
        lake.rows(f"SELECT column_name, is_nullable FROM duckdb_columns() WHERE table_name = '{table.name}'")
    )
    named = {*table.key_columns, *table.content, *table.kept, table.never_older, table.partitioned_by} - {None}
    assert named <= columns.keys()
    # Of two that can be the key, a row has one.
    must = {*([] if table.stand_in else table.key), table.partitioned_by} - {None}
    assert {name for name, nullable in columns.items() if not nullable} == must
    assert columns.keys() >= COMMON_COLUMNS.keys()


def test_every_table_and_every_column_has_a_comment(lake: Lake) -> None:
    tables = lake.rows("SELECT table_name, comment FROM duckdb_tables() WHERE database_name = 'lake'")
    columns = lake.rows(
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE database_name = 'lake' AND NOT internal"
    )
    assert len(tables) >= len(STREAMS)
    assert [row[:-1] for row in [*tables, *columns] if not row[-1]] == []


# -- URNs --

URNS = {
    "tel:+250788123456": ("tel", "+250788123456", None),
    "tel:12345": ("tel", "12345", None),
    "telegram:12345#Adé": ("telegram", "12345", "Adé"),
    "facebook:ref:abc": ("facebook", "ref:abc", None),
    "freshchat:c0f5/9d2b#x": ("freshchat", "c0f5/9d2b", "x"),
    "ext:a%23b%3Fc%25d": ("ext", "a#b?c%d", None),
    "ext:50%2525": ("ext", "50%25", None),
    "ext:%2523": ("ext", "%23", None),
    "ext:a%20b%3fc": ("ext", "a%20b%3fc", None),
    "twitterid:54784326227#nyaruka%23%3F%25": ("twitterid", "54784326227", "nyaruka#?%"),
    "tel:+250788123456?id=5&channel=x": ("tel", "+250788123456", None),
    "ext:path?id=1#show": ("ext", "path", "show"),
    "ext:path#show?not=query": ("ext", "path", "show?not=query"),
    "telegram:12345#": ("telegram", "12345", ""),
    "line:a\nb#c\nd": ("line", "a\nb", "c\nd"),
    "webchat:😀 é": ("webchat", "😀 é", None),
    "tel:********": ("tel", "********", None),
    "whatsapp:": ("whatsapp", "", None),
}


def test_a_urn_is_split_into_scheme_path_and_display_and_unescaped(load: Loading) -> None:
    row = load("contacts", {"uuid": CONTACT, "urns": list(URNS)})
    assert {urn["urn"]: (urn["scheme"], urn["path"], urn["display"]) for urn in row["urns"]} == URNS


def test_the_order_of_a_contacts_urns_is_kept(load: Loading) -> None:
    row = load("contacts", {"uuid": CONTACT, "urns": ["tel:2", "ext:9", "tel:1"]})
    assert [urn["urn"] for urn in row["urns"]] == ["tel:2", "ext:9", "tel:1"]


@pytest.mark.parametrize("urns", [{"urns": []}, {"urns": None}, {}])
def test_a_contact_may_have_no_urns(urns: Row, load: Loading) -> None:
    assert load("contacts", {"uuid": CONTACT, **urns})["urns"] == urns.get("urns")


@pytest.mark.parametrize("urn", [{"urn": None}, {}])
def test_a_message_may_have_no_urn(urn: Row, load: Loading) -> None:
    row = load("messages", {"id": 1, "created_on": f"{TIME}Z", **urn})
    assert (row["urn"], row["urn_scheme"], row["urn_path"], row["urn_display"]) == (None, None, None, None)


def test_a_messages_urn_keeps_what_the_server_wrote_beside_its_parts(load: Loading) -> None:
    row = load("messages", {"id": 1, "created_on": f"{TIME}Z", "urn": "telegram:12345#Ad%25"})
    assert (row["urn"], row["urn_scheme"], row["urn_path"]) == ("telegram:12345#Ad%25", "telegram", "12345")
    assert row["urn_display"] == "Ad%"


# -- translations --


@pytest.mark.parametrize(
    ("text", "base", "languages", "chosen"),
    [
        ({"eng": "Hello", "fra": "Salut"}, "fra", ("eng",), "Salut"),
        ({"eng": "Hello", "fra": "Salut"}, "kin", ("fra", "eng"), "Salut"),
        ({"eng": "Hello", "fra": "Salut"}, None, ("kin", "eng"), "Hello"),
        ({"eng": None, "fra": "Salut"}, "eng", ("eng",), "Salut"),
        ({"spa": "Hola"}, "eng", ("fra",), "Hola"),
        ({"eng": "", "fra": "Salut"}, "eng", (), ""),
        ({"eng": None}, "eng", (), None),
        ({}, "eng", ("eng",), None),
    ],
)
def test_the_default_text_is_of_the_base_language_then_of_the_workspaces_then_any(
    text: Row, base: str | None, languages: tuple[str, ...], chosen: str | None, load: Loading
) -> None:
    row = load("broadcasts", {"id": 1, "text": text, "base_language": base}, languages)
    assert (row["text"], row["text_default"]) == (text, chosen)


@pytest.mark.parametrize(("base", "language"), [("fra", "fra"), (None, "und")])
def test_a_plain_text_of_an_older_server_stands_under_the_base_language(
    base: str | None, language: str, load: Loading
) -> None:
    row = load("broadcasts", {"id": 1, "text": 'dit "oui"\n😀', "base_language": base})
    assert row["text"] == {language: 'dit "oui"\n😀'}
    assert row["text_default"] == 'dit "oui"\n😀'


@pytest.mark.parametrize("text", [{"text": None}, {}])
def test_no_text_is_no_translation(text: Row, load: Loading) -> None:
    row = load("broadcasts", {"id": 1, "base_language": "eng", **text})
    assert (row["text"], row["text_default"]) == (None, None)


def test_a_message_of_a_campaign_has_no_base_language_of_its_own(load: Loading) -> None:
    message = {"eng": "Hello", "fra": "Salut"}
    row = load("campaign_events", {"uuid": CONTACT, "message": message}, ("fra", "eng"))
    assert (row["message"], row["message_default"]) == (message, "Salut")


def test_attachments_come_by_language_or_as_a_list(load: Loading) -> None:
    by_language = {"eng": ["image/jpeg:https://x/1.jpg"], "fra": []}
    assert load("broadcasts", {"id": 1, "attachments": by_language})["attachments"] == by_language
    listed = load("broadcasts", {"id": 1, "attachments": ["image:https://x"], "base_language": "fra"})
    assert listed["attachments"] == {"fra": ["image:https://x"]}


# -- archives, old and new --


def message(**changes: Any) -> Row:
    """A message as archives have written it since July 2018."""
    return {
        "id": 77,
        "broadcast": 439,
        "contact": {"uuid": CONTACT, "name": None},
        "urn": "tel:+250780000483",
        "channel": None,
        "flow": {"uuid": FLOW, "name": "ANC Visit 1"},
        "direction": "out",
        "type": "text",
        "status": "delivered",
        "visibility": "visible",
        "text": "murakoze",
        "attachments": [{"url": "https://x/1.jpg", "content_type": "image/jpeg"}],
        "labels": [{"name": "Spam", "uuid": LABEL}],
        "created_on": f"{TIME}+00:00",
        "sent_on": "2026-03-28T12:58:27+00:00",
        "modified_on": None,
        **changes,
    }


def without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def test_a_message_of_an_archive_needs_no_uuid(load: Loading) -> None:
    row = load("messages", message())
    assert (row["id"], row["uuid"], row["broadcast"]) == (77, None, 439)
    assert (row["contact_uuid"], row["contact_name"]) == (uuid.UUID(CONTACT), None)
    assert (row["flow_uuid"], row["flow_name"]) == (uuid.UUID(FLOW), "ANC Visit 1")
    assert row["attachments"] == [{"content_type": "image/jpeg", "url": "https://x/1.jpg"}]
    assert row["labels"] == [{"uuid": uuid.UUID(LABEL), "name": "Spam"}]
    assert row["created_on"].isoformat() == f"{TIME}+00:00"
    assert row["extra"] is None


def test_a_message_of_a_new_archive_has_uuid_and_ticket(load: Loading) -> None:
    row = load("messages", message(uuid=LABEL, ticket_uuid=FLOW))
    assert (str(row["uuid"]), str(row["ticket_uuid"]), row["extra"]) == (LABEL, FLOW, None)


def test_a_message_of_the_first_archives_has_no_flow_and_no_modified_on(load: Loading) -> None:
    row = load("messages", without(message(), "flow", "modified_on"))
    assert (row["flow_uuid"], row["modified_on"], row["text"]) == (None, None, "murakoze")


@pytest.mark.parametrize(
    ("written", "read"),
    [("inbox", "text"), ("flow", "text"), ("ivr", "voice"), ("text", "text"), ("optin", "optin"), ("voice", "voice")],
)
def test_the_old_types_of_messages_are_read_as_the_new(written: str, read: str, load: Loading) -> None:
    assert load("messages", message(type=written))["type"] == read


def run(**changes: Any) -> Row:
    """A run as archives write it."""
    return {
        "id": 9,
        "uuid": LABEL,
        "flow": {"uuid": FLOW, "name": "ANC Visit 1"},
        "contact": {"uuid": CONTACT, "name": "Eugène Nuñez"},
        "responded": True,
        "path": [{"node": FLOW, "time": f"{TIME}+00:00"}],
        "values": {
            "age": {"name": "Age", "node": FLOW, "time": f"{TIME}Z", "input": "42!", "value": "42", "category": "1"}
        },
        "created_on": f"{TIME}+00:00",
        "modified_on": f"{TIME}+00:00",
        "exited_on": None,
        "exit_type": None,
        "submitted_by": None,
        **changes,
    }


def test_a_run_of_an_archive_keeps_what_was_typed(load: Loading) -> None:
    row = load("runs", run(submitted_by="surveyor@example.com"))
    age = row["results"]["age"]
    assert (age["input"], age["value"], age["category"], age["name"]) == ("42!", "42", "1", "Age")
    assert age["time"].isoformat() == f"{TIME}+00:00"
    assert [(str(step["node"]), step["time"].isoformat()) for step in row["path"]] == [(FLOW, f"{TIME}+00:00")]
    assert (row["submitted_by"], row["start_uuid"], row["contact_urn"]) == ("surveyor@example.com", None, None)
    assert row["extra"] is None


def test_results_of_the_first_archives_are_a_list_of_objects_with_one_each(load: Loading) -> None:
    result = {"name": "R", "value": "1", "category": "Yes", "input": None, "node": FLOW, "time": f"{TIME}Z"}
    row = load("runs", run(values=[{"a": result}, {"b": {**result, "value": "2"}}, {"a": {**result, "value": "3"}}]))
    assert {key: found["value"] for key, found in row["results"].items()} == {"a": "3", "b": "2"}
    row = load("runs", run(values=[{"c": {**result, "input": "Yes!"}}]))
    assert row["results"]["c"] == result | {
        "input": "Yes!", "node": uuid.UUID(FLOW), "time": datetime.fromisoformat(f"{TIME}Z"),
    }  # fmt: skip


@pytest.mark.parametrize("values", [[], {}])
def test_a_run_may_have_no_results(values: Any, load: Loading) -> None:
    assert load("runs", run(values=values))["results"] == {}


def test_events_of_old_archives_stay_as_json(load: Loading) -> None:
    events = [{"type": "msg_created", "msg": {"text": "é"}}]
    assert json.loads(load("runs", run(events=events))["events"]) == events


def test_a_result_whose_key_holds_anything_is_kept(load: Loading) -> None:
    result = {"name": "R", "value": None, "category": None, "node": FLOW, "time": f"{TIME}Z"}
    keys = ['a"b', "a.b", "a/b", "", "é 😀", "a'b"]
    assert list(load("runs", run(values={key: result for key in keys}))["results"]) == keys


# -- text survives --

TEXTS = {
    "newlines": "one\ntwo\r\nthree\ttabbed",
    "quotes": "she said \"yes\", it's \\ok\\ ''",
    "emoji": "👩🏽‍⚕️ 😀 🇷🇼",
    "scripts": "Kinyarwanda, العربية, 中文, ไทย, naïve, e\u0301",
    "nul": "before\x00after",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\u2028\u2029\ufeff\uffff",
    "like json": '{"a": [1, null]}',
    "like numbers": "007",
    "like null": "null",
    "spaces": "  padded  ",
    "empty": "",
    "long": "añ😀" * 3500,
}


@pytest.mark.parametrize("escaped", [True, False])
def test_texts_survive_as_they_were_sent(escaped: bool, load_all: LoadingAll) -> None:
    contacts = [{"uuid": CONTACT, "name": text} for text in TEXTS.values()]
    rows = [message(id=number, text=contact["name"], contact=contact) for number, contact in enumerate(contacts)]
    found = load_all("messages", [json.dumps(row, ensure_ascii=escaped) for row in rows])
    assert dict(zip(TEXTS, [row["text"] for row in found], strict=True)) == TEXTS
    assert dict(zip(TEXTS, [row["contact_name"] for row in found], strict=True)) == TEXTS


def test_texts_inside_lists_and_dictionaries_survive_too(load: Loading) -> None:
    texts = {name: text for name, text in TEXTS.items() if "\x00" not in text}
    keys = {text: name for name, text in texts.items()}
    row = load(
        "contacts", {"uuid": CONTACT, "fields": {**texts, **keys}, "urns": [f"ext:x#{text}" for text in texts.values()]}
    )
    assert row["fields"] == {**texts, **keys}
    assert [urn["display"] for urn in row["urns"]] == list(texts.values())


def test_a_row_of_some_megabytes_is_read(lake: Lake, tmp_path: Path) -> None:
    line = json.dumps({"uuid": CONTACT, "fields": {f"field_{number}": "x" * 1000 for number in range(5000)}})
    (tmp_path / "big.jsonl").write_text(line + "\n", encoding="utf-8")
    with lake.connection() as connection:
        stage(connection, STREAMS["contacts"].table, [tmp_path / "big.jsonl"], longest=len(line))
        assert connection.execute("SELECT len(map_keys(fields)) FROM batch").fetchall() == [(5000,)]
        forget_batch(connection)
