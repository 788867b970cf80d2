"""A zero byte in the key of a result, or of a field's value: catalogs can look up no such key, and none is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lakes import new_lake
from tests.warehouse.loading.loader import ONE, TWO, Loader, contact
from warehouse import Lake, refresh_views
from warehouse.asking.dictionary import read_dictionary

ODD = "\x01:}'\x00"


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Loader]:
    with Lake.create(new_lake(tmp_path / "lake")) as lake:
        yield Loader(lake, tmp_path)


def test_views_and_the_dictionary_are_made_again_and_again_where_keys_have_a_zero_byte(loader: Loader) -> None:
    def run(uuid: str, *keys: str) -> dict[str, object]:
        results = {key: {"value": "1", "name": key, "time": "2026-03-01T00:00:00Z"} for key in keys}
        at = "2026-03-01T00:00:00Z"
        return {"uuid": uuid, "flow": {"uuid": ONE, "name": "Poll"}, "values": results, "created_on": at,
                "modified_on": at}  # fmt: skip

    field = {"key": "age", "name": "Age", "type": "number"}
    flow = {"uuid": ONE, "name": "Poll", "results": [{"key": ODD, "name": "Odd", "categories": ["Yes"]}]}
    for keys in ([ODD], [ODD, "age"], [ODD, "age", "town"]):
        loader.load("fields", field)
        loader.load("flows", flow)
        loader.load("runs", run(TWO, *keys), run(ONE, ODD))
        loader.load("contacts", contact(fields=dict.fromkeys(keys, "7")), contact(TWO, fields={ODD: "8"}))
        refresh_views(loader.lake)
    views = loader.lake.rows("SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'lake'")
    for schema, view in views:
        loader.lake.rows(f'FROM lake."{schema}"."{view}"')
    assert loader.lake.rows("SELECT key FROM _result_keys ORDER BY ALL") == [("age",), ("town",)]
    assert loader.lake.rows("SELECT field_key, value FROM contact_fields ORDER BY ALL") == [
        (ODD, "7"), (ODD, "8"), ("age", "7"), ("town", "7"),
    ]  # fmt: skip
    assert loader.lake.rows("SELECT count(*) FROM run_results") == [(4,)]
    [poll] = read_dictionary(loader.lake).flows
    assert [(result.key, result.filled) for result in poll.results] == [("age", 50.0), ("town", 50.0)]
