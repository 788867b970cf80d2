"""The report as an asset."""

from __future__ import annotations

from tests.assets.conftest import Deployment
from warehouse import Lake


def test_the_report_is_made_in_the_lakes_folder_and_its_page_says_where(deployment: Deployment) -> None:
    assert deployment.run("workspace", "contacts", "groups", "flows").result.success
    (made,) = (ran := deployment.run("report")).materialised("report")
    assert ran.result.success
    assert made[1]["file"] == str(deployment.lake / "report.html")
    assert "<h1>Ubuzima" in (deployment.lake / "report.html").read_text("utf-8")


def test_a_lake_that_was_never_synced_fails_the_step_in_one_sentence(deployment: Deployment) -> None:
    Lake.create(deployment.lake).close()
    ran = deployment.run("report")
    assert not ran.result.success
    assert ran.reason == f"The lake {deployment.lake} has no views yet: run `rapidlake sync` once."


def test_without_a_lake_nothing_is_made_and_nothing_fails(deployment: Deployment) -> None:
    deployment.lake.mkdir()
    ran = deployment.run("report")
    assert ran.result.success
    assert ran.materialised("report") == []
    assert any("There is no lake" in line for line in ran.said)
