"""For notebooks and scripts: opens a lake for reading, and answers SQL with frames."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb

from warehouse.asking.failed import explain_query
from warehouse.asking.query import NO_QUERY, asked
from warehouse.errors import LakeError, QueryError, VersionNotKept
from warehouse.lake.connection import Lake

if TYPE_CHECKING:
    import pandas
    import pyarrow

T = TypeVar("T")
NO_ROWS = "SELECT NULL AS nothing WHERE false"
Moment = str | date | datetime
UNGUARDED = (
    "Unguarded SQL may read and write every file that you may; written to the catalog.sqlite of a lake, or to files in "
    "its folder data, it destroys the lake."
)


def open_lake(path: str | Path = "lake", *, unguarded: bool = False) -> OpenLake:
    """Open a lake for reading; syncs may go on meanwhile.

        lake = open_lake("lake")
        lake.df("SELECT * FROM contacts_wide")

    Its SQL reads the lake and nothing else, unless `unguarded`: then it may do all that DuckDB can, to your files too.

    Raises:
        LakeNotFound: there is none at `path`.
        LakeIsNewer: a later version of Rapidlake made it.
    """
    if unguarded:
        warnings.warn(UNGUARDED, stacklevel=2)
    return OpenLake(_opened(Path(path), guarded=not unguarded))


class OpenLake(AbstractContextManager["OpenLake"]):
    """A lake that is open for reading; also a context manager. One query runs at a time."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def df(self, sql: str) -> pandas.DataFrame:
        """The rows of a query as a pandas frame.

        TIMESTAMPTZ comes as datetime64 in UTC, DATE as datetime64, BIGINT as int64 (float64 where it has nulls),
        DECIMAL as float64, UUID and text as object, a list as a numpy array, a MAP or STRUCT as a dict.

        Raises:
            QueryError: the SQL is wrong, is not one query, or a value does not fit it; no value is told.
            QueryRefused: it does more than read the lake.
        """
        with warnings.catch_warnings():
            # DuckDB 1.5 calls pandas in a way that pandas 3.1 is about to drop; goes with DuckDB's next version.
            warnings.filterwarnings("ignore", message="The inplace keyword in DataFrame.drop")
            return self._answer(sql, lambda relation: relation.df())

    def arrow(self, sql: str) -> pyarrow.Table:
        """The rows of a query as an Arrow table, every type as it is; UUIDs as text.

        Raises:
            QueryError: the SQL is wrong, is not one query, or a value does not fit it; no value is told.
            QueryRefused: it does more than read the lake.
        """
        return self._answer(sql, lambda relation: relation.to_arrow_table())

    def as_of(self, moment: Moment) -> OpenLake:
        """The same lake as it was at a time, or at the end of a date; either may be ISO text, in UTC if without zone.

        Raises:
            QueryError: it is no date or time.
            LakeError: the lake did not exist then, or no longer keeps versions so old.
        """
        at = _moment(moment)
        try:
            return OpenLake(_opened(self._lake.path, as_of=at, guarded=self._lake.guarded))
        except VersionNotKept:
            pass
        raise VersionNotKept(
            f"The lake {self._lake.path} keeps no version of {at:%Y-%m-%d %H:%M} UTC: it is younger than that, "
            "or upkeep has forgotten it."
        )

    def close(self) -> None:
        """Give back the connection."""
        self._lake.close()

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _answer(self, sql: str, take: Callable[[duckdb.DuckDBPyRelation], T]) -> T:
        self._lake.renew()
        with self._lake.raw_connection() as connection:
            question, ran = asked(self._lake, connection, sql), False
            try:
                relation = connection.sql(question.sql)
                if relation is None and not self._lake.guarded:  # it is done, and has no rows
                    relation = connection.sql(NO_ROWS)
                if relation is not None:
                    ran = True
                    return take(relation)
            except duckdb.Error as error:
                failed: LakeError = explain_query(error, self._lake.path, question, ran=ran)
            else:
                failed = QueryError(NO_QUERY)
        raise failed  # here, where it does not hold DuckDB's error, which shows values


def _opened(path: Path, *, guarded: bool, as_of: datetime | None = None) -> Lake:
    """Open a lake; what is raised does not hold DuckDB's own error."""
    try:
        return Lake.open(path, as_of=as_of, threads=None, guarded=guarded, at_one_moment=guarded)
    except LakeError as error:
        failed = error
    failed.__cause__ = failed.__context__ = None
    raise failed


def _moment(moment: Moment) -> datetime:
    """As a time in UTC; a date means its last moment."""
    try:
        if isinstance(moment, str):
            moment = date.fromisoformat(moment) if len(moment) == len("2026-10-01") else datetime.fromisoformat(moment)
    except ValueError:
        raise QueryError(f"{moment!r} is no date: write it like 2026-10-01 or 2026-10-01T08:00:00Z.") from None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, 23, 59, 59, 999_999, tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
