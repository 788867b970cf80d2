"""Verifies a lake: reads the server again and tells every row that differs, by stream and month."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import duckdb

from pipeline.errors import MustWait, SettingsError
from pipeline.proof.comparing import Comparison, Verification
from pipeline.proof.retention import still_kept
from pipeline.proof.rotation import parts_of_streams, tonight
from pipeline.proof.verifiers import VERIFIERS
from pipeline.reading.progress import Progress, counted
from pipeline.reading.reader import ROWS, ArchiveChoice, Options
from pipeline.reading.spool import Spool
from pipeline.results import FAILED, StreamResult, Tally
from pipeline.settings import Settings
from pipeline.streams import ARCHIVE_LIST, ARCHIVED, STREAMS, Newest, Stream, Window
from pipeline.syncing.lanes import Run
from pipeline.syncing.session import Session, open_session
from pipeline.syncing.sync import choose, sync_in
from warehouse import Cursor, Lake, archives_wanted_from, read_cursors
from warehouse.lake import clock
from warehouse.proof.counted import Uncounted, compare_statistics
from warehouse.proof.findings import Finding, note_verification, verify_archives
from warehouse.proof.mangled import count_mangled, drop_mangled
from warehouse.proof.proven import note_whole, proven_whole

NOT_COMPARED = (
    "Not compared: the list of archive files, values that only archives have (their number was), numbers that move by "
    "themselves, and the names of what rows refer to."
)


@dataclass(frozen=True)
class VerifyResult:
    """What a verification found; `results` says how the reading of each stream ended.

    `workspace` is its uuid, `name` what people call it.
    """

    workspace: str
    lake: str
    findings: list[Finding]
    results: list[StreamResult]
    uncounted: list[Uncounted]
    seconds: float
    repaired: bool = False
    rotated: bool = False
    name: str = ""

    @property
    def failed(self) -> bool:
        """True if anything differs, or was not verified; of a rotation that repairs, if anything is left so."""
        return any(one.left if self.rotated else one.differences for one in self.findings) or not self.complete

    @property
    def complete(self) -> bool:
        """True if every stream was verified, and everything repaired that was to be."""
        return not any(one.outcome in (*FAILED, "skipped", "waiting") for one in self.results)

    @property
    def conclusion(self) -> str:
        """What it comes to, in one sentence."""
        compared = sum(finding.compared for finding in self.findings)
        requests = sum(one.tally.counters.requests for one in self.results)
        cost = f"{counted(compared, 'row')} compared, {counted(requests, 'request')}, {self.seconds:.1f} s"
        return f"{self._found()}; {cost}. {NOT_COMPARED}"

    def _found(self) -> str:
        unreadable = sum(finding.unreadable for finding in self.findings)
        differences = sum(finding.differences for finding in self.findings) - unreadable
        mended = self.complete and sum(finding.left for finding in self.findings) == unreadable
        wait = f"{counted(unreadable, 'row')} cannot be read by this version (see _quarantine)"
        if differences and self.rotated and self.repaired and mended:
            found = f"{differences:,} differences were found and repaired"
        elif differences and not self.repaired:
            found = f"{differences:,} differences (--repair mends them)"
        elif differences:
            what = "were repaired; verify again to see that none is left" if mended else "were not all repaired"
            found = f"{differences:,} differences {what}"
        elif unreadable:
            return f"The lake is not true: {wait}, no other differences"
        elif self.failed:
            return "No differences in what was read, but not everything was"
        elif self.rotated:
            return "No differences in what was due"
        else:
            return "The lake is true: no differences"
        return f"{found}, and {wait}" if unreadable else found


def choose_verifiable(names: Sequence[str]) -> list[Stream]:
    """The streams of these names that can be verified; all that can for none.

    Raises:
        SettingsError: there is no stream of a name, or it cannot be verified.
    """
    chosen = choose(names)
    unfit = [stream.name for stream in chosen if type(stream.strategy) not in VERIFIERS]
    if names and unfit:
        raise SettingsError(
            f"{', '.join(unfit)} cannot be verified by itself: archives are verified with messages and runs."
        )
    return [stream for stream in chosen if type(stream.strategy) in VERIFIERS]


def verify(
    settings: Settings,
    streams: Sequence[Stream],
    progress: Progress,
    *,
    since: datetime | None = None,
    asked: Verification,
    accept_deletions: bool = False,
    stop: threading.Event | None = None,
) -> VerifyResult:
    """Read `streams` again from `since` (UTC) on and hold them against the lake.

    The findings go to `_verification`, what is proven to `_proven`.

    Raises:
        RapidlakeError: nothing could be begun: server, token, workspace or lake.
    """
    Lake.open(settings.lake).close()  # verifying makes no lake
    options = Options(since=since, accept_deletions=accept_deletions)
    with open_session(settings, progress=progress, stop=stop) as session:
        return verify_in(session, settings, streams, progress, options, asked)


def verify_in(
    session: Session,
    settings: Settings,
    streams: Sequence[Stream],
    progress: Progress,
    options: Options,
    asked: Verification,
) -> VerifyResult:
    """As `verify`, in a session that is open, and stays so."""
    begun = time.monotonic()
    comparisons = _Comparisons(session, settings, progress, options, asked)
    mangled = _mangled(session.lake, streams, repair=asked.repair)
    good = [stream for stream in streams if stream.name not in mangled]
    if asked.rotate:
        good = _tonight(session, good, goes_on=asked.goes_on)
    run = Run(session, settings, options, progress, VERIFIERS, comparisons.make)
    results = run.each(good)
    if asked.repair and mangled:  # what was dropped may be of any time
        comparisons.asked = Verification(repair=True)
        whole = Run(session, settings, replace(options, since=None), progress, VERIFIERS, comparisons.make)
        results += whole.each([stream for stream in streams if stream.name in mangled])
    else:
        results += [_not_verified(stream, mangled[stream.name]) for stream in streams if stream.name in mangled]
    results = [_as_believed(session, one) if one.outcome == "not offered" else one for one in results]
    findings = comparisons.findings()
    if asked.repair:
        reloaded = _reload_archives(session, settings, findings, progress)
        results += reloaded
        if reloaded:
            findings = _with_reloaded(session.lake, findings)
    now = session.client.now()
    not_offered = [one.stream for one in results if one.outcome == "not offered"]

    def note(connection: duckdb.DuckDBPyConnection) -> None:
        note_verification(connection, run.uuid, findings)
        for name in not_offered:
            note_whole(connection, name, 0, now)

    session.lake.commit(note)
    uncounted = []
    if not {"messages", "statistics"} & {*settings.left_out}:
        with session.lake.connection() as connection:
            uncounted = compare_statistics(connection)
    return VerifyResult(
        str(session.workspace.uuid),
        str(settings.lake),
        findings,
        results,
        uncounted,
        time.monotonic() - begun,
        repaired=asked.repair,
        rotated=asked.rotate,
        name=session.workspace.name,
    )


class _Comparisons:
    """Makes the comparison of each stream of a verification, and has what they found."""

    def __init__(
        self, session: Session, settings: Settings, progress: Progress, options: Options, asked: Verification
    ) -> None:
        self.asked = asked
        self._session = session
        self._settings = settings
        self._progress = progress
        self._options = options
        self._made: list[Comparison] = []
        self._loading = threading.Lock()

    def make(self, stream: Stream, spool: Spool, tally: Tally) -> Comparison:
        """What a stream is compared with."""
        comparison = Comparison(
            self._session.lake,
            stream,
            spool,
            tally,
            self.asked,
            accept_deletions=self._options.accept_deletions,
            load_archives=partial(self._load_archives, stream),
        )
        self._made.append(comparison)
        return comparison

    def _load_archives(self, stream: Stream) -> None:
        """Load what the server has archived of a stream since the last sync: its archiver may work at this hour.

        Raises:
            MustWait: the rate limit asks for too long a wait.
        """
        with self._session.lake.connection() as connection:
            first = not read_cursors(connection, ARCHIVE_LIST.name)
            wanted = read_cursors(connection, stream.name).get(ROWS, Cursor())
        chosen = Options(
            since=wanted.complete_from if first else None,  # else it was said which files are wanted
            archives=ArchiveChoice(frozenset({stream.table.archive_type or ""})),
            wait_for_others=self._options.wait_for_others,
        )
        with self._loading:  # messages and runs are verified side by side
            [loaded] = sync_in(self._session, self._settings, [ARCHIVE_LIST], self._progress, chosen).streams
        if loaded.go_on_in is not None:
            raise MustWait(loaded.go_on_in)

    def findings(self) -> list[Finding]:
        """What all found, in the order of the streams."""
        order = list(STREAMS)
        made = sorted(self._made, key=lambda comparison: order.index(comparison.stream.name))
        return [finding for comparison in made for finding in _by_month(comparison.findings)]


def _as_believed(session: Session, result: StreamResult) -> StreamResult:
    """The result of a stream that the server does not offer, or a doubt where the lake has what it offered before."""
    stream = STREAMS[result.stream]
    on = stream.strategy.on if isinstance(stream.strategy, Newest | Window) else None
    kept = still_kept(stream, on, session.client.latest()) if on else "true"
    [(live,)] = session.lake.rows(f'SELECT count(*) FROM "{stream.name}" WHERE deleted_on IS NULL AND {kept}')
    if not live:
        return result
    message = (
        f"the server does not have the endpoint where the lake has {counted(live, 'row')}: verify again; "
        "if it has ceased to have it, leave the stream out (RAPIDLAKE_LEAVE_OUT)"
    )
    return replace(result, outcome="suspicious", message=message)


def _tonight(session: Session, streams: Sequence[Stream], *, goes_on: bool) -> list[Stream]:
    """The streams that are read by date, of which each night reads some days, and those others whose turn it is."""
    whole = [stream for stream in streams if not isinstance(stream.strategy, Window)]
    rows = {stream.name: session.lake.rows(f'SELECT count(*) FROM "{stream.name}"')[0][0] for stream in whole}
    now = session.client.now()
    taken = tonight(parts_of_streams(proven_whole(session.lake), rows, now), now, goes_on=goes_on)
    names = {part.stream for part in taken}
    return [stream for stream in streams if isinstance(stream.strategy, Window) or stream.name in names]


def _mangled(lake: Lake, streams: Sequence[Stream], *, repair: bool) -> dict[str, int]:
    """The streams with rows in the catalog that cannot be read back, and how many; with `repair` they are dropped."""
    mangled = count_mangled(lake)
    if repair and mangled:
        drop_mangled(lake, {stream.name for stream in streams} | (mangled.keys() - STREAMS.keys()))
    return {stream.name: mangled[stream.name] for stream in streams if stream.name in mangled}


def _not_verified(stream: Stream, mangled: int) -> StreamResult:
    message = (
        f"{counted(mangled, 'row')} in the catalog cannot be read back: "
        "run `rapidlake verify --repair`, which drops them and reads them again"
    )
    return StreamResult(stream.name, "failed", clock.now(), 0.0, Tally(), message)


def _by_month(findings: Sequence[Finding]) -> list[Finding]:
    """One finding per month: what the API and what the archives say, together."""
    months: dict[object, Finding] = {}
    for one in findings:
        months[one.month] = months[one.month] + one if one.month in months else one
    return list(months.values())


def _with_reloaded(lake: Lake, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, with what was unarchived and is not any more as repaired."""
    left: dict[tuple[str, object], int] = {}
    with lake.connection() as connection:
        wanted_from = archives_wanted_from(connection)
        for name in {one.stream for one in findings if one.unarchived}:
            for one in verify_archives(connection, STREAMS[name].table, wanted_from):
                left[name, one.month] = one.unarchived
    return [
        replace(one, repaired=one.repaired + max(one.unarchived - left.get((one.stream, one.month), 0), 0))
        for one in findings
    ]


def _reload_archives(
    session: Session, settings: Settings, findings: Sequence[Finding], progress: Progress
) -> list[StreamResult]:
    """Load the archive files of months that lack archived rows once more; return how that ended."""
    lacking = [one for one in findings if one.unarchived and one.month]
    if not lacking:
        return []
    types = frozenset(kind for kind, stream in ARCHIVED.items() if stream.name in {one.stream for one in lacking})
    months = frozenset(f"{one.month:%Y-%m}" for one in lacking)
    options = Options(archives=ArchiveChoice(types, months, again=True))
    return sync_in(session, settings, [ARCHIVE_LIST], progress, options).streams
