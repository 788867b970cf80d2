"""The page of the report: as of when, of which days, and what it says of the lake itself."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.report import write_report
from pipeline.report.drawing import Spec, draw
from tests.lakes import new_lake
from tests.pipeline.report.test_report_queries import sql_of
from warehouse import Lake, refresh_views

# In the workspace 14 October has begun then, in UTC it has not.
LAST_SYNC = "2026-10-13 12:00:00Z"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake whose last sync was a while ago, with a file in it that it lacks, and verified twice."""
    old, new = "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'"
    rows = [
        "workspace (uuid, name, timezone, synced_on) VALUES (uuid(), 'W', 'Pacific/Chatham', now())",
        "_sync SELECT uuid(), stream, made::TIMESTAMPTZ, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, outcome, NULL, 1, 1, 1 "
        "FROM (VALUES "
        f"('messages', '2026-10-01 12:00:00Z', 'failed'), ('messages', '{LAST_SYNC}', 'done'), "
        "('runs', '2026-10-02 09:00:00Z', 'failed')) AS syncs (stream, made, outcome)",
        "_verification SELECT run::UUID, made::TIMESTAMPTZ, stream, month::DATE, compared, n, n, n, n, n, 0, [], "
        "NULL, NULL "
        f"FROM (VALUES ({old}, '2026-09-01 12:00:00Z', 'runs', '2026-08-01', 7, 1), "
        f"({new}, '2026-10-12 11:00:00Z', 'messages', '2026-09-01', 1000, 0), "
        f"({new}, '2026-10-12 11:00:00Z', 'contacts', NULL, 234, 0), "
        f"({new}, '2026-10-12 11:00:00Z', 'tickets', NULL, 5, 2)) AS found (run, made, stream, month, compared, n)",
        "archives (archive_type, period, start_date, record_count, deleted_on, synced_on, source) VALUES "
        "('message', 'daily', '2026-01-01', 5, NULL, now(), 'api'), "
        "('message', 'daily', '2026-01-02', 0, NULL, now(), 'api'), "
        "('message', 'daily', '2026-01-03', 9, now(), now(), 'api')",
        "_archives VALUES ('message', 'daily', '2026-01-01', 'h', 1, 5, 5, 0, 'file', now(), true, NULL)",
        "_quarantine (stream, digest, reason, record, source, seen_on) "
        "SELECT 'labels', n::VARCHAR, 'why', '{}', 'api', now() FROM range(3) AS numbers (n)",
        # In the thirty days: 4 in, 6 out of which 3 failed; in those before: 2 in, 4 out.
        "messages (id, direction, status, created_on, synced_on, source) SELECT row_number() OVER (), direction, "
        "status, made::TIMESTAMPTZ, now(), 'api' FROM (VALUES (4, 'in', 'handled', '2026-10-13 11:00:00Z'), "
        "(1, 'out', 'failed', '2026-10-13 10:00:00Z'), (2, 'out', 'errored', '2026-10-01 10:00:00Z'), "
        "(3, 'out', 'sent', '2026-09-20 10:00:00Z'), (2, 'in', 'handled', '2026-09-01 10:00:00Z'), "
        "(4, 'out', 'failed', '2026-09-01 10:00:00Z')) AS counts (number, direction, status, made), "
        "range(number) AS numbers (n)",
        "runs (uuid, flow_uuid, flow_name, exit_type, responded, created_on, synced_on, source) SELECT uuid(), "
        "'00000000-0000-0000-0000-000000000009', 'F' || chr(11) || 'low' || chr(0), "
        "CASE WHEN n < 3 THEN 'completed' ELSE 'expired' END, true, "
        "'2026-10-13 11:00:00Z', now(), 'api' FROM range(4) AS numbers (n)",
        "contacts (uuid, status, created_on, deleted_on, synced_on, source) SELECT uuid(), 'active', "
        "'2026-10-05 10:00:00Z', CASE WHEN n = 0 THEN '2026-10-06 10:00:00Z'::TIMESTAMPTZ END, now(), 'api' "
        "FROM range(1235) AS numbers (n)",
        "tickets (uuid, status, synced_on, source) SELECT uuid(), if(n < 5, 'open', 'closed'), now(), 'api' "
        "FROM range(9) AS numbers (n)",
    ]  # fmt: skip
    with Lake.create(new_lake(tmp_path_factory.mktemp("page") / "lake")) as lake:
        lake.commit(lambda connection: [connection.execute(f"INSERT INTO {row}") for row in rows])
        lake.commit(lambda connection: connection.execute("UPDATE _lake SET workspace_name = 'Ubuzima & co'"))
        refresh_views(lake)
        yield lake


@pytest.fixture(scope="module")
def page(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the page says, without its marks."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(lake, path)
    return said_by(path)


def said_by(path: Path) -> str:
    """What a page says, without its marks."""
    body = path.read_text("utf-8").partition("</style>")[2]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", body)).split())


def test_the_page_is_as_of_the_last_sync_in_the_workspaces_time(page: str) -> None:
    assert page.startswith("Ubuzima & co As of 14 Oct 2026, 01:45 (Pacific/Chatham).")


def test_figures_are_of_the_thirty_days_up_to_that_day_against_those_before(page: str) -> None:
    assert (
        "Contacts 1,234 today Messages received 4 100 % more than in the 30 days before "
        "Messages sent 6 50 % more than in the 30 days before Failed 50.0 % of the messages sent "
        "Runs of flows 4 75 % completed Open tickets 5 today"
    ) in page


def test_titles_say_what_the_rows_of_their_charts_come_to(page: str) -> None:
    for title in (
        "75 % of the runs were completed",
        "No channel carries 100 % of the messages",
        "No channel failed most last week: 100.0 % of its messages",
        "1,235 contacts came and 1 left in the last half year",
        "No broadcasts",
    ):
        assert title in page, title


def test_the_last_verification_is_told_with_the_streams_that_differ(page: str) -> None:
    assert "The last verification found differences in 1 streams" in page
    assert "1,239 rows held against the server on 13 Oct 2026" in page
    assert "tickets 2 2 2 2 2" in page


def test_what_is_loaded_and_what_could_not_be_read_is_told(page: str) -> None:
    assert "1 archive files are loaded; 3 rows could not be read." in page


def test_streams_that_need_somebody_stand_first(page: str) -> None:
    streams = page.partition("Outcome ")[2]
    assert streams.index("failed") < streams.index("done")
    assert re.search(r"messages 16 0 .*?done", streams) and re.search(r"runs 4 0 .*?failed", streams)


def test_archives_that_are_listed_and_not_empty_are_counted(lake: Lake) -> None:
    assert lake.rows(f"SELECT archives_listed FROM ({sql_of('state')})") == [(1,)]


# -- names that are odd, and charts that cannot be drawn --

UNDRAWN = "This chart could not be drawn; its figures are here:"


def test_control_characters_in_a_name_are_replaced_on_the_page_and_in_its_charts(page: str) -> None:
    assert "F\ufffdlow\ufffd 4 4 3" in page
    assert UNDRAWN not in page


@pytest.mark.long
def test_a_chart_that_ends_the_renderer_is_missing_alone_and_the_page_says_so(lake: Lake, tmp_path: Path) -> None:
    def draw_with_one_that_aborts(specs: Sequence[Spec]) -> Sequence[str | None]:
        return draw([specs[0] | {"title": "a\x0bb"}, *specs[1:]])

    write_report(lake, tmp_path / "report.html")
    whole = (tmp_path / "report.html").read_text("utf-8").count("data:image/svg+xml")
    write_report(lake, tmp_path / "report.html", draw=draw_with_one_that_aborts)
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image/svg+xml") == whole - 2
    said = said_by(tmp_path / "report.html")
    assert said.count(UNDRAWN) == 1
    assert f"Messages per week {UNDRAWN} Figures week direction messages" in said
