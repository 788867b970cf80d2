"""Dagster's pages in a real browser, against a sandbox: what they show, and that what they begin makes a true lake."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import tenacity
from playwright.sync_api import Page, expect, sync_playwright

from assets.catalogue import ANALYTICS, CONTACTS, MESSAGES_AND_RUNS, SETUP, UPKEEP, group_of
from pipeline.months import Month
from pipeline.streams import STREAMS
from sandbox import Sandbox, Workspace, generate, read_archive
from tests.lakes import LANGUAGES
from tests.processes import ended_afterwards, start
from tests.truth import assert_same, expected_rows, expected_union, stored_rows
from warehouse import Lake

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or "chromium"
GROUPS = (MESSAGES_AND_RUNS, CONTACTS, SETUP, ANALYTICS, UPKEEP)
LONGEST_WAIT = 600.0
Found = TypeVar("Found")
RUNS = """{runsOrError(limit: 30) {... on Runs {results {runId status assetSelection {path} tags {key value}}}}}"""


@dataclass(frozen=True)
class Site:
    """Dagster's web server of this test, what it syncs, and where to."""

    url: str
    folder: Path
    workspace: Workspace

    @property
    def home(self) -> Path:
        """DAGSTER_HOME."""
        return self.folder / "home"

    @property
    def lake(self) -> Path:
        """The lake's folder."""
        return self.folder / "lake"

    @property
    def log(self) -> Path:
        """What `dagster dev` prints."""
        return self.folder / "log"

    def ask(self, query: str) -> dict[str, Any]:
        """The answer of Dagster's own API."""
        request = urllib.request.Request(
            f"{self.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=LONGEST_WAIT) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
        return found

    def wait(self, what: str, ask: Callable[[], Found | None]) -> Found:
        """What `ask` answers as soon as that is something."""

        def give_up(_: tenacity.RetryCallState) -> None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            pytest.fail(f"Waited {LONGEST_WAIT:.0f} s for {what}. Dagster's last lines:\n{tail}", pytrace=False)

        found = tenacity.Retrying(
            stop=tenacity.stop_after_delay(LONGEST_WAIT),
            wait=tenacity.wait_fixed(1),
            retry=tenacity.retry_if_result(lambda answer: not answer),
            retry_error_callback=give_up,
        )(ask)
        assert found is not None
        return found

    def finished(self, asset: str) -> str | None:
        """Status of the last run that somebody began for this asset alone; None while it is under way."""
        for run in self.ask(RUNS)["runsOrError"]["results"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            by_hand = not {"dagster/schedule_name", "dagster/sensor_name"} & tags.keys()
            if by_hand and [one["path"] for one in run["assetSelection"] or []] == [[asset]]:
                status = str(run["status"])
                return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None
        return None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`dagster dev` as `make ui` starts it, with a lake and a DAGSTER_HOME of its own."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    with generate(messages=3000, contacts=300, seed=3) as workspace, Sandbox(workspace, requests_per_hour=0) as served:
        found = Site(f"http://127.0.0.1:{port}", folder, workspace)
        found.home.mkdir()
        shutil.copy(ROOT / "deploy" / "dagster.yaml", found.home)
        environment = os.environ | {
            "DAGSTER_HOME": str(found.home),
            "RAPIDPRO_URL": served.url,
            "RAPIDPRO_TOKEN": served.token,
            "RAPIDLAKE_LAKE": str(found.lake),
            "RAPIDLAKE_CACHE": str(folder / "cache"),
            "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
            "RAPIDLAKE_LIVE_MINUTES": "60",
            "RAPIDLAKE_LAG": "0",
        }
        words = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "--port", port]
        with found.log.open("wb") as log, ended_afterwards():
            server = start(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
            found.wait("the pages", lambda: answers(found))
            found.wait("the first sync", lambda: first_sync_is_over(found))
            yield found
            os.killpg(server.pid, signal.SIGINT)
            server.wait()


def answers(site: Site) -> bool:
    """True when the web server knows the code location."""
    with suppress(OSError):
        found = site.ask("{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}")
        return bool(found["repositoriesOrError"].get("nodes"))
    return False


def first_sync_is_over(site: Site) -> bool:
    """True when the runs that Dagster begins by itself on an empty lake are over."""
    runs = site.ask("{runsOrError(limit: 5) {... on Runs {results {jobName status}}}}")["runsOrError"]["results"]
    return {run["jobName"] for run in runs if run["status"] == "SUCCESS"} >= {"live_sync", "hourly_sync"}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.set_default_timeout(LONGEST_WAIT * 1000)
        expect.set_options(timeout=LONGEST_WAIT * 1000)
        yield opened
        browser.close()


def test_the_graph_shows_every_stream_in_its_group(site: Site, page: Page) -> None:
    for group in GROUPS:
        page.goto(f"{site.url}/locations/__repository__@rapidlake/asset-groups/{group}/list")
        members = [name for name, stream in STREAMS.items() if group_of(stream) == group]
        for name in members or ["verify", "maintain"]:
            expect(page.locator(f'a[href="/assets/{name}"]').first).to_be_visible()
    page.goto(f"{site.url}/asset-groups")
    for group in GROUPS:
        expect(page.get_by_text(group, exact=True).first).to_be_visible()


def test_an_asset_explains_itself(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/assets/messages?view=overview")
    for text in ("one row per message, in its latest state", "Number of the message, unique in the workspace"):
        expect(page.get_by_text(text).first).to_be_visible()


def test_contacts_materialised_by_the_button_are_those_of_the_server(site: Site, page: Page) -> None:
    site.workspace.edit("contacts", 20)
    page.goto(f"{site.url}/assets/contacts")
    page.get_by_role("button", name="Materialize").first.click()
    expect(page.get_by_text("Launched run")).to_be_visible()
    assert site.wait("the run of contacts", lambda: site.finished("contacts")) == "SUCCESS"
    page.goto(f"{site.url}/assets/contacts?view=events")
    expect(page.get_by_text("Materialized").first).to_be_visible()
    with Lake.open(site.lake) as lake, lake.connection() as connection:
        expected = expected_rows("contacts", site.workspace.rows("contacts"), LANGUAGES)
        assert_same("contacts", stored_rows(connection, "contacts"), expected)


def test_three_months_of_messages_backfilled_in_the_dialog_are_those_of_the_server(site: Site, page: Page) -> None:
    last = Month.of(datetime.now(UTC)).plus(-1)
    first = last.plus(-2)
    page.goto(f"{site.url}/assets/messages?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(f"[{first}...{last}]")
    dialog.get_by_role("textbox").first.press("Tab")
    expect(dialog.get_by_text("Backfills all partitions in a single run")).to_be_visible()
    dialog.get_by_role("button", name="Launch backfill").click()
    assert site.wait("the run of messages", lambda: site.finished("messages")) == "SUCCESS"
    page.goto(f"{site.url}/runs?view=backfills")
    expect(page.get_by_text("Success").first).to_be_visible()
    archived = [
        json.loads(line)
        for row in site.workspace.rows("archives")
        if row["archive_type"] == "message"
        for line in read_archive(site.workspace, row)
    ]
    dead = {row["uuid"] for row in site.workspace.rows("contacts_deleted")}
    living = [record for record in archived if record["contact"]["uuid"] not in dead]
    expected = expected_union("messages", site.workspace.rows("messages"), living, LANGUAGES)
    with Lake.open(site.lake) as lake, lake.connection() as connection:
        assert_same(
            "messages", of_months(stored_rows(connection, "messages"), first, last), of_months(expected, first, last)
        )


def of_months(rows: dict[Any, dict[str, Any]], first: Month, last: Month) -> dict[Any, dict[str, Any]]:
    """The rows that were created in these months."""
    created = {key: datetime.fromisoformat(str(row["created_on"])) for key, row in rows.items()}
    return {key: row for key, row in rows.items() if first.start <= created[key] < last.end}


def test_no_file_of_dagster_holds_the_token(site: Site) -> None:
    token = Sandbox(site.workspace).token.encode()
    holding = [file for file in site.home.rglob("*") if file.is_file() and token in file.read_bytes()]
    assert holding == []
