"""What analysts wait for on a lake of 5 million messages: each query of the report, the report, and looks of syncs.

    python bench/analysis.py [--messages 5000000]

Makes a lake of made-up rows with SQL (100,000 contacts, a million runs of twelve flows, three years), without a server.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib import resources
from pathlib import Path

from pipeline.report import write_report
from warehouse import Lake, refresh_views

WORKSPACE = """
INSERT INTO workspace (uuid, name, timezone, synced_on) VALUES (uuid(), 'Large', 'Africa/Kigali', now());
INSERT INTO channels (uuid, name, created_on, synced_on, source)
    SELECT uuid_of('c', i), 'Channel ' || i, now(), now(), 'api' FROM range(4) AS t(i);
INSERT INTO flows (uuid, name, created_on, synced_on, source, results)
    SELECT uuid_of('f', i), 'Flow ' || i, now(), now(), 'api', [] FROM range(12) AS t(i);
INSERT INTO fields (key, name, type, synced_on, source) VALUES ('age', 'Age', 'number', now(), 'api');
INSERT INTO contacts (uuid, name, status, urns, groups, fields, created_on, modified_on, synced_on, source)
    SELECT uuid_of('p', i), 'Name ' || i, 'active', [], [], MAP {'age': (i % 90)::VARCHAR}, moment(i, 100_000), now(),
        now(), 'api'
    FROM range(100_000) AS t(i);
INSERT INTO _sync VALUES (uuid(), 'messages', now(), 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 'done', NULL);
"""
MESSAGES = """
INSERT INTO messages (
    id, contact_uuid, channel_uuid, flow_uuid, flow_name, channel_name, direction, type, status, visibility, text,
    labels,
    attachments, created_on, modified_on, synced_on, source
)
SELECT i, uuid_of('p', hash(i // 2) % 100_000), uuid_of('c', hash(i) % 4), uuid_of('f', hash(i // 7) % 12),
    'Flow ' || hash(i // 7) % 12, 'Channel ' || hash(i) % 4, CASE WHEN i % 2 = 0 THEN 'out' ELSE 'in' END, 'text',
    CASE WHEN i % 2 = 1 THEN 'handled' ELSE ['sent', 'delivered', 'wired', 'failed'][(1 + hash(i) % 4)::BIGINT] END,
    'visible',
    'How are you today? ' || i, [], [], moment(i, {messages}), now(), now(), 'api'
FROM range({first}, {last}) AS t(i)
"""
RUNS = """
INSERT INTO runs (
    uuid, flow_uuid, flow_name, contact_uuid, responded, path, results, created_on, modified_on, exited_on, exit_type,
    synced_on, source
)
SELECT uuid_of('r', i), uuid_of('f', hash(i) % 12), 'Flow ' || hash(i) % 12, uuid_of('p', hash(i + 7) % 100_000),
    i % 3 > 0,
    list_transform(range(1 + i % 8), lambda step: struct_pack(node := uuid_of('n', step), "time" := moment(i, {runs}))),
    MAP {{'answer': struct_pack(value := 'yes', category := 'Yes', name := 'Answer', input := 'yes',
        node := uuid_of('n', 1), "time" := moment(i, {runs}))}},
    moment(i, {runs}), moment(i, {runs}), moment(i, {runs}), ['completed', 'expired', 'completed'][1 + i % 3],
    now(), 'api'
FROM range({first}, {last}) AS t(i)
"""
BATCH = 500_000
# Looks, and what a sync wrote before each.
LOOKS = {
    "first look": "",
    "after nothing": "",
    "after a message": MESSAGES.format(messages=1, first=-1, last=0),
    "after a run": RUNS.format(runs=1, first=-1, last=0),
    "after a contact": "UPDATE contacts SET synced_on = now(), language = 'eng' WHERE uuid = uuid_of('p', 0)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5_000_000)
    messages: int = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lake"
        _fill(path, messages, messages // 5)
        with Lake.open(path) as lake, lake.connection() as connection:
            connection.execute("SET VARIABLE today = today()")
            for query in sorted((resources.files("pipeline.report") / "queries").iterdir(), key=lambda one: one.name):
                begun = time.perf_counter()
                connection.execute(query.read_text("utf-8")).fetchall()
                print(f"{query.name:<22} {time.perf_counter() - begun:6.2f} s")
        begun, cpu = time.perf_counter(), time.process_time()
        with Lake.open(path) as lake:
            write_report(lake, Path(folder) / "report.html")
        print(f"{'the whole report':<22} {time.perf_counter() - begun:6.2f} s, {time.process_time() - cpu:.2f} CPU-s")


def _fill(path: Path, messages: int, runs: int) -> None:
    with Lake.create(path, memory="4GB", threads=2) as lake, lake.connection() as connection:
        connection.execute("CREATE TEMP MACRO uuid_of(kind, i) AS md5(kind || i::VARCHAR)::UUID")
        connection.execute(
            "CREATE TEMP MACRO moment(i, of) AS "
            "now() - INTERVAL 1 HOUR - to_microseconds(((of - i) * (94_000_000_000_000 / of))::BIGINT)"
        )
        for statement in WORKSPACE.strip().split(";\n"):
            connection.execute(statement)
        for first in range(0, messages, BATCH):
            connection.execute(MESSAGES.format(messages=messages, first=first, last=min(first + BATCH, messages)))
        for first in range(0, runs, BATCH):
            connection.execute(RUNS.format(runs=runs, first=first, last=min(first + BATCH, runs)))
        for what, change in LOOKS.items():
            if change:
                connection.execute(change)
            begun, cpu = time.perf_counter(), time.process_time()
            refresh_views(lake)
            print(f"{what:<22} {time.perf_counter() - begun:6.2f} s, {time.process_time() - cpu:.2f} CPU-s")


if __name__ == "__main__":
    main()
