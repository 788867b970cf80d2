"""How full the dictionary says that things are, in a workspace in which much was deleted."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.analysts import Analysed
from warehouse.asking.dictionary import MADE_UP, VOCABULARY, Dictionary, read_dictionary


@pytest.fixture(scope="module")
def dictionary(facts: Analysed) -> Dictionary:
    return read_dictionary(facts.lake)


def test_fields_that_exist_are_as_full_as_contacts_that_exist_have_them(
    facts: Analysed, dictionary: Dictionary
) -> None:
    contacts, kinds = facts.now["contacts"], ("flows", "groups", "campaign_events")
    assert [(one.key, one.name, one.type, one.filled, one.used_by) for one in dictionary.fields] == [
        (
            row["key"],
            row["name"],
            row["type"],
            share(sum(bool(one["fields"].get(row["key"])) for one in contacts), len(contacts)),
            ", ".join(f"{row['usages'][kind]} {kind.replace('_', ' ')}" for kind in kinds if row["usages"][kind]),
        )
        for row in sorted(facts.now["fields"], key=lambda row: row["key"])
    ]


def test_flows_have_as_many_runs_and_their_results_are_as_full_as_runs_that_exist(
    facts: Analysed, dictionary: Dictionary
) -> None:
    runs = Counter(row["flow"]["name"] for row in facts.now["runs"])
    found = {flow.name: flow for flow in dictionary.flows}
    assert {name: flow.runs for name, flow in found.items()} == {name: runs[name] for name in found}
    assert runs.keys() < found.keys() and facts.gone("runs")
    categories = {
        (row["name"], result["key"]): ", ".join(result["categories"])
        for row in facts.now["flows"]
        for result in row["results"]
    }
    results = Counter((row["flow"]["name"], key) for row in facts.now["runs"] for key in row["values"])
    for name, flow in found.items():
        for one in flow.results:
            assert one.filled == (share(results[name, one.key], runs[name])), (name, one.key)
            assert one.categories == categories.get((name, one.key), ""), (name, one.key)
    assert results.keys() <= {(name, one.key) for name, flow in found.items() for one in flow.results}


def test_tables_are_counted_with_what_was_deleted_and_contacts_wide_without(
    facts: Analysed, dictionary: Dictionary
) -> None:
    entries = {entry.name: entry for entry in dictionary.entries if entry.schema == "main"}
    for stream in ("messages", "runs", "channels", "tickets"):
        assert entries[stream].rows == len(facts.before[stream])
    assert entries["contacts_wide"].rows == len(facts.now["contacts"])
    people = [*facts.before["contacts"], *facts.before["contacts_deleted"]]
    filled = {column.name: column.filled for column in entries["contacts"].columns}
    assert filled["fields"] == share(sum(bool(row["fields"]) for row in people), len(people))
    filled = {column.name: column.filled for column in entries["messages"].columns}
    messages = facts.before["messages"]
    for column in ("broadcast", "labels", "attachments", "text"):
        assert filled[column] == share(sum(bool(row[column]) for row in messages), len(messages)), column
    assert filled["deleted_on"] == share(len(facts.gone("messages")), len(messages))


def test_examples_are_the_commonest_words_of_a_vocabulary_or_made_up(facts: Analysed, dictionary: Dictionary) -> None:
    entries = {entry.name: entry for entry in dictionary.entries if entry.schema == "main"}
    examples = {column.name: column.example for column in entries["messages"].columns}
    common = Counter(row["status"] for row in facts.before["messages"]).most_common(1)[0][0]
    assert examples["status"].split(", ")[0] == common and len(examples["status"].split(", ")) == 5
    assert set(examples["direction"].split(", ")) == {"in", "out"}
    for entry in dictionary.entries:
        for column in entry.columns:
            if column.name not in VOCABULARY or entry.is_view:
                assert column.example == MADE_UP.get(column.name, ""), (entry.name, column.name)


def share(part: int, whole: int) -> float | None:
    return pytest.approx(100 * part / whole, abs=0.0501) if whole else None
