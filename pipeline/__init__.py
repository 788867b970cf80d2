"""Extract: the client, the table of streams, the walk over a window, the sync, and the command line.

Knows nothing of Dagster.
"""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: that takes longer than all else that a command begins with."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("rapidlake")
