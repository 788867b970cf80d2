"""DuckDB's extensions, and what happens where a lake is of another DuckLake, or DuckDB not the one that they are for.

DuckLake reads catalogs of its own version only. One of an earlier version can be brought up, and not back.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import duckdb

from warehouse.declared import kind_of
from warehouse.errors import EngineIsOther, LakeError, LakeIsNewer, LakeIsOlder, LakeUnwritable
from warehouse.lake.literal import literal
from warehouse.scratch import written_whole

EXTENSIONS = ("ducklake", "sqlite_scanner")
MISMATCH = re.compile(
    r"catalog version mismatch: catalog version is (\S+), but the extension requires version (\S+?)\. "
)


def explain_mismatch(said: str, path: Path) -> LakeError | None:
    """The error of ours for what DuckLake says of the lake at `path`, if it speaks of versions."""
    found = MISMATCH.search(said)
    if not found:
        return None
    catalog, ours = found.groups()
    if _release(catalog) > _release(ours):
        return LakeIsNewer(
            f"The lake {path} was written with DuckLake {catalog}, this version knows {ours}: "
            "upgrade rapidlake (pip install -U rapidlake)."
        )
    return LakeIsOlder(f"The lake {path} was written with DuckLake {catalog}, this version reads {ours}.")


def _release(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition("-")[0])]


def keep_catalog(path: Path) -> Path:
    """Copy the catalog of the lake at `path`, whose version this DuckLake does not read, and return the copy's path.

    For no lake that this process has attached: SQLite's locks would be gone.

    Raises:
        LakeUnwritable: there is no room for it.
    """
    import sqlite3  # which hardly any command needs

    copy = path / "catalog.before-upgrade.sqlite"
    try:
        with written_whole(copy) as partial:
            source, target = sqlite3.connect(path / "catalog.sqlite"), sqlite3.connect(partial)
            try:
                source.backup(target)
            finally:
                target.close()
                source.close()
    except (OSError, sqlite3.Error) as error:
        raise LakeUnwritable(
            f"The catalog of the lake {path} cannot be copied ({kind_of(error)}), which it is before DuckLake "
            "upgrades it: nothing was changed; make room, and sync again."
        ) from None
    return copy


def check_extension(name: str, file: Path) -> None:
    """See that an extension of DuckDB's is there for the DuckDB that runs.

    Raises:
        EngineIsOther: it is not.
    """
    if not file.is_file():
        raise EngineIsOther(
            f"DuckDB {duckdb.__version__} is installed, and its extension {name} for another version: "
            "install rapidlake again, which brings those that fit (pip install --force-reinstall rapidlake)."
        )


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension of DuckDB's that came with Rapidlake."""
    file = extension_file(name)
    check_extension(name, file)
    connection.execute(f"LOAD {literal(str(file))}")


def extension_file(name: str) -> Path:
    """Path of an extension inside its own PyPI wheel, so that no extension server is needed."""
    package = resources.files(f"duckdb_extension_{name}")
    return Path(str(package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"))
