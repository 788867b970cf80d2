"""What can go wrong with a lake, in words for the person who runs it.

RapidlakeError
  LakeError
    LakeNotFound      there is no lake at the path
    LakeIsNewer       written by a later version of Rapidlake
    LakeUnwritable    path is a file, not writable, or the disk is full
    LakeBusy          another process kept the catalog locked for too long
    QueryError        the SQL of `rapidlake sql` is wrong
    ExportError       an export cannot be made where it was asked for
"""


class RapidlakeError(Exception):
    """Root of all errors that a user or the server can cause; its text says what, where, and what to do."""

    exit_code = 1


class LakeError(RapidlakeError):
    """The lake cannot be read or written."""


class LakeNotFound(LakeError):
    """There is no lake where one was expected."""

    exit_code = 2


class LakeIsNewer(LakeError):
    """The lake was written by a later version, whose tables this one does not know."""

    exit_code = 2


class LakeUnwritable(LakeError):
    """Files cannot be created or written where the lake is."""


class LakeBusy(LakeError):
    """Other writers held the catalog for longer than all retries."""


class QueryError(LakeError):
    """A query of the user's that DuckDB refuses."""


class ExportError(LakeError):
    """What to export is unknown, or the folder cannot take it."""
