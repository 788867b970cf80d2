"""What can go wrong with a lake, in words for the person who runs it.

RapidlakeError
  LakeError
    LakeNotFound      there is no lake at the path
      LakeUnfinished  its first sync is still making it
        LakeAbandoned or was ended before it had made it
    LakeIsNewer       written by a later version of Rapidlake, or of DuckLake
    LakeIsOlder       written by an earlier DuckLake; who writes it brings it up, who reads it cannot
    LakeIsOther       has columns that cannot become those of this version
    EngineIsOther     DuckDB is not of the version that its extensions are for
    LakeUnwritable    the disk is full, or the catalog cannot be written
      LakeIsFile      its path is a file
      FolderRefused   its folder cannot be made or written
      LocksRefused    its catalog cannot be written by who reads it
    LakeUnreadable    this account may not read it
    LakeIsPublished   it is a copy for readers, which nobody else writes
    LakeStopped       somebody asked to stop while another process held a lock
    LakeBusy          another process kept the catalog locked for too long
    LakeDamaged       its catalog is lost, or not whole
    VersionNotKept    there is no version of the time that was asked for
    LakeMangled       rows in the catalog cannot be read back, as earlier versions wrote them
    LakeRefused       DuckDB or DuckLake will not do it, for what the rows hold or for a fault of their own
    RowsUnaccounted   rows were read that are neither stored nor put aside
      RowsLost        files hold another number of rows than were written to them
    QueryError        a user's SQL is wrong
      QueryRefused    or does more than read the lake
    ExportError       an export cannot be made of what was asked for
      PlaceRefused    nor where it was asked for
    PublishError      a copy for readers cannot be made now
      CopyRefused     nor where it was asked for
      PublishBusy     because another process is making it

No text names a command: the layer above knows them, and adds what to type.
"""


class RapidlakeError(Exception):
    """Root of all errors that a user or the server can cause; its text says what, where, and what to do."""

    exit_code = 1


class LakeError(RapidlakeError):
    """The lake cannot be read or written."""


class LakeNotFound(LakeError):
    """There is no lake where one was expected."""

    exit_code = 2


class LakeUnfinished(LakeNotFound):
    """The first sync is still making the lake."""


class LakeAbandoned(LakeUnfinished):
    """The first sync was ended before it had made the lake."""


class LakeIsNewer(LakeError):
    """The lake was written by a later version, whose tables this one does not know."""

    exit_code = 2


class LakeIsOlder(LakeError):
    """The lake was written by an earlier DuckLake, and was not brought to this one yet."""

    exit_code = 2


class EngineIsOther(LakeError):
    """DuckDB was installed in another version than the extensions that Rapidlake needs."""

    exit_code = 2


class LakeIsOther(LakeError):
    """The lake has columns of other types, which cannot become those of this version."""

    exit_code = 2


class LakeUnwritable(LakeError):
    """Files cannot be created or written where the lake is."""


class LakeIsFile(LakeUnwritable):
    """A file lies where the lake's folder should be."""


class FolderRefused(LakeUnwritable):
    """The lake's folder cannot be made, or not be written."""


class LocksRefused(LakeUnwritable):
    """The catalog cannot be written, as it must be by those too who only read."""


class LakeUnreadable(LakeError):
    """The lake, or its published copy, is closed to this account."""


class LakeIsPublished(LakeError):
    """What should be written is a copy for readers."""

    exit_code = 2


class LakeBusy(LakeError):
    """Other writers held the catalog for longer than all retries."""


class LakeStopped(LakeError):
    """Another process held a lock when somebody asked to stop."""


class LakeDamaged(LakeError):
    """The lake's catalog is lost, or not whole, or a file of rows is lost."""


class LakeMangled(LakeError):
    """The catalog holds rows that cannot be read back."""


class VersionNotKept(LakeError):
    """The lake has no version of a time: it is younger, or upkeep has forgotten that."""


class LakeRefused(LakeError):
    """The engine refuses a change, whoever else writes or not."""


class RowsUnaccounted(LakeError):
    """Rows were read that are neither new, nor known, nor put aside."""


class RowsLost(RowsUnaccounted):
    """Files hold another number of rows than were written to them."""


class QueryError(LakeError):
    """A query of the user's that DuckDB refuses."""


class QueryRefused(QueryError):
    """A query of the user's that would reach beyond the lake, or write to it."""


class ExportError(LakeError):
    """What to export is unknown."""


class PlaceRefused(ExportError):
    """The folder cannot take an export."""


class PublishError(LakeError):
    """A copy for readers cannot be made; the one that was there stays."""


class CopyRefused(PublishError):
    """The folder cannot take a copy of this lake."""

    exit_code = 2


class PublishBusy(PublishError):
    """Another process makes the same copy."""
