"""Runs streams side by side: those of one throttle scope one after another, each ending for itself."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

from filelock import FileLock, Timeout

from pipeline.errors import MustWait, NotOffered, ServerUnavailable, Stopped, TokenRefused, told
from pipeline.reading.batches import Batches
from pipeline.reading.progress import Progress
from pipeline.reading.reader import Options, Reader
from pipeline.reading.spool import Spool
from pipeline.results import Outcome, StreamResult, Tally
from pipeline.settings import Settings
from pipeline.streams import STREAMS, Archives, Strategy, Stream
from pipeline.syncing.session import Session
from warehouse import LakeStopped, RapidlakeError
from warehouse.declared import kind_of
from warehouse.lake import clock

Readers = Mapping[type[Strategy], type[Reader]]
# How often one who waits for another process looks whether it shall stop.
LOOK_SECONDS = 0.5
NOT_BEGUN = "Stopped: it was not begun; run the same command again to go on."

MakeBatches = Callable[[Stream, Spool, Tally], Batches]


class Run:
    """What is done to all streams: `readers` says by strategy how, `make_batches` where their rows go.

    `before` is the fixed end of all windows: the earlier of two clocks, less the lag (UTC).
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        options: Options,
        progress: Progress,
        readers: Readers,
        make_batches: MakeBatches,
    ) -> None:
        self.uuid = uuid.uuid4()
        self.before = session.client.now() - timedelta(seconds=settings.lag)
        self._session = session
        self._settings = settings
        self._options = options
        self._progress = progress
        self._readers = readers
        self._make_batches = make_batches
        session.loss.forget()

    def each(self, streams: Sequence[Stream]) -> list[StreamResult]:
        """Run each stream; first those that decide what the rows of others hold."""
        shaping = {shape.by for stream in STREAMS.values() for shape in stream.shapes}
        first = [self.one(stream) for stream in streams if stream.name in shaping]
        lanes: dict[str, list[Stream]] = defaultdict(list)
        for stream in streams:
            if stream.name not in shaping:
                lanes["files" if isinstance(stream.strategy, Archives) else stream.scope].append(stream)
        with ThreadPoolExecutor(max_workers=max(len(lanes), 1), thread_name_prefix="sync") as pool:
            running = [pool.submit(self._lane, lane) for lane in lanes.values()]
            try:
                done = [future.result() for future in running]
            except BaseException:  # an interrupt reaches this thread only; the pool would wait for the others' last row
                self._session.client.stop.set()
                raise
        order = {stream.name: place for place, stream in enumerate(streams)}
        return sorted((first + [result for lane in done for result in lane]), key=lambda result: order[result.stream])

    def _lane(self, streams: Sequence[Stream]) -> list[StreamResult]:
        return [self.one(stream) for stream in streams]

    def one(self, stream: Stream) -> StreamResult:
        """Run one stream and say how it ended; only errors that nobody can cause come out as exceptions."""
        started_on, begun, tally = clock.now(), time.monotonic(), Tally()
        self._progress.begun(stream.name)
        outcome, message, go_on_in = self._outcome(stream, tally)
        result = StreamResult(stream.name, outcome, started_on, time.monotonic() - begun, tally, message, go_on_in)
        self._progress.ended(result)
        return result

    def _outcome(self, stream: Stream, tally: Tally) -> tuple[Outcome, str | None, float | None]:
        """How reading the stream ends, why, and after how many seconds to go on."""
        loss = self._session.loss
        if loss.why:
            return "skipped", f"not read: {loss.why}", None
        try:
            if self._session.client.stop.is_set():
                raise Stopped(NOT_BEGUN)
            with self._alone(self._name(stream)):
                self._read(stream, tally)
        except Timeout:
            return "skipped", "another process is syncing it now; left to that one", None
        except MustWait as error:
            return "waiting", told(error), error.seconds
        except NotOffered as error:
            if stream.always_offered:
                return "failed", told(error), None
            return "not offered", "this server does not have it", None
        except (Stopped, LakeStopped) as error:
            return "stopped", told(error), None
        except (TokenRefused, ServerUnavailable) as error:
            if said := loss.told_of(error):
                return "failed", said, None
            return ("skipped", f"not read to its end: {loss.why}", None) if loss.why else ("failed", told(error), None)
        except RapidlakeError as error:
            return "failed", told(error), None
        except OSError as error:
            place = error.filename or self._session.lake.path
            return (
                "failed",
                f"{place} cannot be used ({kind_of(error)}): nothing committed is lost; mend it and sync again",
                None,
            )
        if not tally.counters.requests and not tally.notes:
            tally.notes.append("nothing was asked of the server")
        return ("suspicious" if tally.suspicious else "done"), "; ".join(tally.notes) or None, None

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold the lock of this name, for which a sync may wait; the system takes it back if this process dies.

        Raises:
            filelock.Timeout: another process holds it.
            Stopped: the run was stopped while it waited.
        """
        lock = FileLock(self._session.lake.locks / f"{name}.lock")
        until = time.monotonic() + self._options.wait_for_others
        while not lock.is_locked:
            left = max(until - time.monotonic(), 0)
            try:
                lock.acquire(timeout=min(left, LOOK_SECONDS))
            except Timeout:
                if self._session.client.stop.is_set():
                    raise Stopped(NOT_BEGUN) from None
                if left <= 0:
                    raise
        try:
            yield
        finally:
            lock.release()

    def _name(self, stream: Stream) -> str:
        """What only one process does at a time: a month is read beside the stream's own sync."""
        month = self._options.month
        return f"{stream.name}-{month}" if month and not isinstance(stream.strategy, Archives) else stream.name

    def _read(self, stream: Stream, tally: Tally) -> None:
        lake = self._session.lake
        spool = Spool(lake.spool, self._name(stream), full_pages=self._settings.batch_pages)
        batches = self._make_batches(stream, spool, tally)
        try:
            self._readers[type(stream.strategy)](
                client=self._session.client,
                lake=lake,
                stream=stream,
                batches=batches,
                tally=tally,
                progress=self._progress,
                settings=self._settings,
                options=self._options,
                before=self.before,
                workspace=self._session.body,
                opened=self._session.opened,
            ).read()
        finally:
            batches.end_whole_reading()
            spool.clear()
