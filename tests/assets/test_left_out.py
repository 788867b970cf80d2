"""Streams that a setting leaves out, in Dagster: their assets stay, unsynced, and nothing is red."""

from __future__ import annotations

import pytest

from assets.catalogue import describe, freshness_of
from pipeline.months import Month
from pipeline.streams import STREAMS
from tests.assets.conftest import LOCATION, Deployment

LEFT_OUT = ("globals", "messages", "resthook_events")


def test_a_stream_that_is_left_out_is_not_asked_for_and_nothing_of_it_turns_red(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", ",".join(LEFT_OUT))
    whole = deployment.run("globals", "resthook_events", "labels")
    months = deployment.run("messages", months=[Month.parse("2026-01")])
    assert (whole.success, months.success) == (True, True)
    assert (whole.materialised("globals"), months.materialised("messages")) == ([], [])
    assert whole.materialised("labels")
    assert "globals: left out (RAPIDLAKE_LEAVE_OUT); nothing was asked for." in whole.said
    assert {seen.endpoint for seen in deployment.sandbox.requests}.isdisjoint(LEFT_OUT)

    job = LOCATION.get_job("hourly_checks")
    result = job.execute_in_process(instance=deployment.instance, resources={"workspace": deployment.resource})
    told = {one.description for one in result.get_asset_check_evaluations() if one.asset_key.path[-1] in LEFT_OUT}
    assert told == {"The stream is left out (RAPIDLAKE_LEAVE_OUT)."}
    assert all(one.passed for one in result.get_asset_check_evaluations() if one.asset_key.path[-1] in LEFT_OUT)
    assert [freshness_of(STREAMS[name]) for name in LEFT_OUT] == [None] * 3
    assert freshness_of(STREAMS["labels"])
    assert describe(STREAMS["globals"]).endswith("\n\nIt is left out (RAPIDLAKE_LEAVE_OUT).")
