"""Rapidlake for users of Python: opens a lake, answers SQL with frames.

    from rapidlake import open_lake

    lake = open_lake("lake")
    lake.df("SELECT * FROM contacts_wide")

The command line is `rapidlake`, or `python -m rapidlake`.
"""

from warehouse import LakeError, LakeIsNewer, LakeNotFound, OpenLake, QueryError, RapidlakeError, open_lake

__all__ = ["LakeError", "LakeIsNewer", "LakeNotFound", "OpenLake", "QueryError", "RapidlakeError", "open_lake"]
