"""How a step ends: well, red with the reason, or well and unfinished, to be gone on with later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import tenacity
from dagster._core.errors import (
    DagsterExecutionInterruptedError,
    DagsterUserCodeProcessError,  # whose message Dagster shows without a stack of its own
)
from dagster_shared.error import DagsterError, SerializableErrorInfo

from pipeline.errors import MustWait, NotTrusted, RequestRefused, SettingsError, TokenRefused, told
from pipeline.months import Month
from pipeline.reading.progress import Lines, Tell, summary
from pipeline.results import StreamResult
from warehouse import LakeNotFound, RapidlakeError
from warehouse.declared import fault
from warehouse.lake import clock

# What a run that must be gone on with carries: that it is one, and, per asset, after when and with which partitions.
UNFINISHED, GO_ON = "rapidlake/unfinished", "rapidlake_go_on"
# What the run that goes on carries: that it stays in the queue (deploy/dagster.yaml sees to it), and until when.
HELD, HELD_UNTIL = "rapidlake/held", "rapidlake/held_until"
# Dagster calls a backfill failed as soon as no run of it is left: the next must be in the queue before this one ends.
BACKFILL, RUN_KEY = "dagster/backfill", "dagster/run_key"
QUEUED_WITHIN_SECONDS, LOOK_EVERY_SECONDS = 90.0, 1.0
# The runs of a schedule carry its name; of these the next comes soon enough by itself.
PACE = "rapidlake/pace"
LIVE_SYNC, HOURLY_SYNC, NIGHTLY_REVISITS = "live_sync", "hourly_sync", "nightly_revisits"
# Has no hours of its own: a sensor asks for it when a sync has ended.
PUBLISH = "publishing"
OFTEN = (LIVE_SYNC, HOURLY_SYNC, NIGHTLY_REVISITS)
# What a run carries that loads archive files.
LOADS = "rapidlake/loads_archives"
# What is said of a run that was cancelled while it read.
READ_IS_KEPT = "all that was read is committed; the next run goes on from there"
# After so many seconds a stream that another process was reading is tried again.
BUSY_SECONDS = 60.0


class StepFailed(dg.Failure, DagsterUserCodeProcessError):
    """A step ends red, for what a user or a server can cause: with a sentence, and without a stack trace."""

    def __init__(self, said: str, *, metadata: Mapping[str, Any] | None = None, allow_retries: bool = True) -> None:
        Exception.__init__(self, said)
        self.description = said
        self.metadata = dg.Failure(said, metadata=metadata).metadata
        self.allow_retries = allow_retries
        self.user_code_process_error_infos = [SerializableErrorInfo(said, stack=[], cls_name=None)]


class StepCancelled(DagsterExecutionInterruptedError, DagsterUserCodeProcessError):
    """A step ends because somebody has cancelled its run, or stops Dagster: told as `StepFailed` is."""

    def __init__(self, kept: str) -> None:
        said = f"Cancelled: {kept}."
        BaseException.__init__(self, said)
        self.user_code_process_error_infos = [SerializableErrorInfo(said, stack=[], cls_name=None)]


class TickFailed(DagsterUserCodeProcessError):
    """A tick ends for a fault of Rapidlake's own: told as `StepFailed` is."""

    def __init__(self, said: str) -> None:
        Exception.__init__(self, said)
        self.user_code_process_error_infos = [SerializableErrorInfo(said, stack=[], cls_name=None)]


class AlreadyTold(RapidlakeError):
    """A run cannot go on, and another step of it has said why."""


@contextmanager
def cancellable(kept: str) -> Iterator[None]:
    """End a step that is cancelled in this block with one sentence; `kept` says what is kept, and what comes next.

    So does what nobody foresaw, whose own text may hold a row.

    Raises:
        StepCancelled: it was cancelled.
        StepFailed: it met a fault of Rapidlake's own.
    """
    try:
        yield
    except dg.DagsterExecutionInterruptedError:
        raise StepCancelled(kept) from None
    except RuntimeError as error:  # DuckDB's, where the interrupt reaches it in the middle of a query
        if isinstance(error.__cause__ or error.__context__, dg.DagsterExecutionInterruptedError):
            raise StepCancelled(kept) from None
        raise StepFailed(fault(error), allow_retries=False) from None
    except (dg.Failure, dg.RetryRequested, DagsterError):
        raise
    except Exception as error:
        said = told(error) if isinstance(error, RapidlakeError) else fault(error)
        raise StepFailed(said, allow_retries=False) from None


@contextmanager
def tick() -> Iterator[None]:
    """End a tick that meets what nobody foresaw with one sentence: Dagster would show its text, which may hold a row.

    Raises:
        TickFailed: it did.
    """
    try:
        yield
    except DagsterError:
        raise
    except Exception as error:
        raise TickFailed(fault(error)) from None


def progress_in_log(context: dg.AssetExecutionContext, tell: Tell = summary) -> Lines:
    """What tells the log of a run how a sync goes."""
    return Lines(tell, context.log.info)


def refused(context: dg.AssetExecutionContext, error: RapidlakeError) -> None:
    """End a step that could not begin: red with one sentence, or, if it is the rate limit or no lake yet, well.

    Raises:
        StepFailed: unless it is, or another step has told it.
    """
    if isinstance(error, MustWait):
        go_on_later(context, told(error), error.seconds, _partitions(context))
        return
    if isinstance(error, LakeNotFound | AlreadyTold):
        context.log.warning(told(error))
        return
    # Asking again would meet the same answer.
    lasting = isinstance(error, SettingsError | TokenRefused | RequestRefused | NotTrusted)
    if not lasting and context.get_step_execution_context().op_retry_policy:
        raise dg.Failure(told(error)) from None  # the only one that a deployment's policy of retries sees
    raise StepFailed(told(error), allow_retries=not lasting) from None


def ended(context: dg.AssetExecutionContext, results: Sequence[StreamResult], left: Sequence[Month] = ()) -> bool:
    """True if the stream was read to its end; False if it was left to another run, which is noted and said.

    `left` are the months that are not done then.

    Raises:
        StepFailed: it failed, was stopped, or looks suspicious.
    """
    last = results[-1]
    if last.good:
        return True
    said = f"{last.stream}: {last.message}"
    months = [str(month) for month in left]
    if last.outcome == "waiting":
        go_on_later(context, said, last.go_on_in or 0.0, months)
    elif last.outcome == "skipped" and any(month.end <= clock.now() for month in left):
        go_on_later(context, said, BUSY_SECONDS, months)
    elif last.outcome == "skipped":
        context.log.info(said)
    else:
        facts = {name: value for name, value in last.facts().items() if value is not None and name != "message"}
        raise StepFailed(said, metadata=facts, allow_retries=False)
    return False


def go_on_later(context: dg.AssetExecutionContext, said: str, seconds: float, partitions: Sequence[str] = ()) -> None:
    """Say that a later run goes on with `partitions`, and leave the note for the sensor that begins it."""
    after = clock.now() + timedelta(seconds=seconds)
    context.log.warning(f"{said} Goes on after {after:%Y-%m-%d %H:%M:%S} UTC.")
    if context.run.tags.get(PACE) in OFTEN:
        return
    span = f"{partitions[0]}...{partitions[-1]}" if partitions else ""
    note = f"{after.isoformat(timespec='seconds')} {span}".strip()
    asset = context.asset_key.to_user_string()
    context.instance.add_run_tags(context.run.run_id, {UNFINISHED: "yes", f"{GO_ON}/{asset}": note})
    if BACKFILL in context.run.tags:
        _await_successor(context, asset)


def successor_key(run_id: str, asset: str) -> str:
    """The run key of the run that goes on with an asset of a run."""
    return f"{run_id} {asset}"


def has_successor(instance: dg.DagsterInstance, run_id: str, asset: str) -> bool:
    """True if the run that goes on with an asset of a run is in the queue, or was."""
    return bool(instance.get_runs(dg.RunsFilter(tags={RUN_KEY: successor_key(run_id, asset)}), limit=1))


def _await_successor(context: dg.AssetExecutionContext, asset: str) -> None:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda found: not found),
        wait=tenacity.wait_fixed(LOOK_EVERY_SECONDS),
        stop=tenacity.stop_after_delay(QUEUED_WITHIN_SECONDS),
        retry_error_callback=lambda state: False,
    )
    if not retrying(has_successor, context.instance, context.run.run_id, asset):
        context.log.warning("No sensor has queued the run that goes on: is rate_limit_freed switched on?")


def held_still(context: dg.AssetExecutionContext) -> bool:
    """True if this run should still be in the queue: the instance does not hold runs back, so it has to wait itself."""
    until = context.run.tags.get(HELD_UNTIL)
    return until is not None and datetime.fromisoformat(until) > clock.now()


def _partitions(context: dg.AssetExecutionContext) -> list[str]:
    return list(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else []
