"""Rapidlake for users of Python: opens a lake, answers SQL with frames.

    from rapidlake import open_lake

    lake = open_lake("lake")
    lake.df("SELECT * FROM contacts_wide")

The command line is `rapidlake`, or `python -m rapidlake`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warehouse import LakeError, LakeIsNewer, LakeNotFound, OpenLake, QueryError, RapidlakeError, open_lake

__all__ = ["LakeError", "LakeIsNewer", "LakeNotFound", "OpenLake", "QueryError", "RapidlakeError", "open_lake"]


def __getattr__(name: str) -> Any:
    """One of these, loaded when it is asked for: the command line begins without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import warehouse

    return getattr(warehouse, name)
