"""The report in a real browser: whole, without a network, and with nothing of the workspace running in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, sync_playwright

from pipeline.reading.progress import Quiet
from pipeline.report import write_report
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, generate
from tests.workspaces import keep_days
from warehouse import Lake

CHARTS = ("messages", "channels", "failures", "responses", "flows", "steps", "contacts", "groups", "opt_outs")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a workspace whose names are attacks."""
    folder = tmp_path_factory.mktemp("report")
    attack = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    with generate(messages=3000) as workspace, Sandbox(keep_days(workspace, 3)) as sandbox:
        for table in ("channels", "groups", "flows"):
            for number, row in enumerate(workspace.rows(table)):
                workspace.put(table, row | {"name": f"{number} {attack}"})
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=folder / "lake", requests_per_hour=0)
        assert not sync(settings, choose([]), Quiet()).failed
    with Lake.open(folder / "lake") as lake:
        write_report(lake, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize(("width", "shown"), [(1400, "wide"), (360, "narrow")], ids=["on a screen", "on a phone"])
def test_every_chart_is_shown_whole_and_nothing_is_fetched(report: Path, page: Page, width: int, shown: str) -> None:
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())
    for chart in CHARTS:
        drawn = page.locator(f"#{chart} img")
        assert drawn.evaluate("image => image.complete && image.naturalWidth > 200"), chart
        assert drawn.evaluate("image => image.currentSrc === image.src") == (shown == "wide")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert {request.url.split(":")[0] for request in asked} <= {"file", "data"}


def test_nothing_that_the_workspace_holds_becomes_part_of_the_page(report: Path, page: Page) -> None:
    page.goto(report.as_uri())
    assert page.title() != "owned"
    assert page.locator("script").count() == 0
    assert page.locator("img[src=x]").count() == 0
    assert "<script>document.title" in page.locator("#channels h3").inner_text()


def test_it_prints_on_a_few_pages(report: Path, page: Page, tmp_path: Path) -> None:
    page.goto(report.as_uri())
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert 2 <= (tmp_path / "report.pdf").read_bytes().count(b"/Type /Page\n") <= 6
