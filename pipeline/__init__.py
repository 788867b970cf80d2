"""Extract: the client, the table of streams, the walk over a window, the sync, and the command line.

Knows nothing of Dagster.
"""

from importlib.metadata import version

__version__ = version("rapidlake")
