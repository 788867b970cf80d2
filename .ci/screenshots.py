"""Makes the pictures in docs/images/ again, from what `make ui-demo` shows.

python .ci/screenshots.py http://127.0.0.1:3000
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = shutil.which("chromium") or "chromium"


def graph(page: Page, url: str) -> None:
    """All assets, in their groups."""
    page.goto(f"{url}/asset-groups")
    page.get_by_text("messages_and_runs").last.wait_for()
    page.wait_for_timeout(4000)


def asset(page: Page, url: str) -> None:
    """What an asset says of itself."""
    page.goto(f"{url}/assets/messages?view=overview")
    page.get_by_text("Row count").wait_for()
    page.wait_for_timeout(3000)


def backfill(page: Page, url: str) -> None:
    """A month after a backfill."""
    page.goto(f"{url}/assets/messages?view=partitions")
    page.get_by_text("2026-08", exact=True).first.click()
    page.get_by_text("dagster/partition_row_count").wait_for()
    page.wait_for_timeout(1000)


def main() -> None:
    """Take each picture."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 880})
        page.set_default_timeout(60_000)
        for take in (graph, asset, backfill):
            take(page, url)
            page.screenshot(path=FOLDER / f"{take.__name__}.png")
        browser.close()


if __name__ == "__main__":
    main()
