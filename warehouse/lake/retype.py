"""Gives the columns of a lake the types that a later version has for them, or refuses: no value is lost by it."""

from __future__ import annotations

from pathlib import Path

import duckdb

from warehouse.errors import LakeIsOther

# How DuckLake tells that it does not change a column from one type to another.
UNCHANGEABLE = ("Cannot change type of column", "Type evolution is not supported", "Cannot change column")


def retype(lake: duckdb.DuckDBPyConnection, table: str, column: str, have: str, wanted: str, path: Path) -> None:
    """Change the type of a column of the lake at `path`. Inside the caller's transaction, which a refusal ends.

    Raises:
        LakeIsOther: DuckLake changes no such type, or a value would be another one.
    """
    refusal = LakeIsOther(
        f"The lake {path} has {table}.{column} as {have}, this version of Rapidlake needs {wanted}, and it cannot be "
        "changed to that: nothing was changed; go on with the version that wrote it, or sync into a new lake."
    )
    back = f'TRY_CAST(TRY_CAST("{column}" AS {wanted}) AS {have})'
    try:
        changed = lake.execute(f'SELECT 1 FROM "{table}" WHERE {back} IS DISTINCT FROM "{column}" LIMIT 1').fetchone()
    except (duckdb.BinderException, duckdb.ConversionException):  # there is no such cast
        raise refusal from None
    if changed:
        raise refusal
    try:
        lake.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" SET DATA TYPE {wanted}')
    except (duckdb.CatalogException, duckdb.NotImplementedException) as error:
        if any(words in str(error) for words in UNCHANGEABLE):
            raise refusal from None
        raise  # another process was faster
