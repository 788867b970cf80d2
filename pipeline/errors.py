"""What can go wrong between the server and the lake, in words for the person who runs it.

RapidlakeError              (from warehouse)
  SettingsError             wrong usage or settings; exit code 2
  WrongWorkspace            the token is of another workspace than the lake's; exit code 2
  ServerError               the server refused, or answered what cannot be used
    TokenRefused            403: token, role, or plain http
    NotOffered              404: this server does not have the endpoint
    RequestRefused          any other 4xx
    UnexpectedAnswer        an answer that is not a page of rows
    NotTrusted              a certificate that this machine does not trust
    TooLarge                an answer or a file that is larger than the settings allow
    ServerUnavailable       failed for longer than all retries
    AddressExpired          the address of an archive file is no longer valid
    Unproven                an archive file is not what the list says
    ArchivesFailed          some archive files could not be loaded
  ReportError               a report cannot be made or written
  Stopped                   the user asked to stop
  MustWait                  the rate limit would hold the run up for longer than it may wait
"""

from __future__ import annotations

from warehouse.errors import (
    CopyRefused,
    FolderRefused,
    LakeAbandoned,
    LakeIsFile,
    LakeIsOlder,
    LakeMangled,
    LakeNotFound,
    LakeStopped,
    LakeUnreadable,
    LocksRefused,
    PlaceRefused,
    QueryRefused,
    RapidlakeError,
)

# What to type about errors of the warehouse, which knows no commands.
ADVICE: dict[type[RapidlakeError], str] = {
    LakeNotFound: "run `rapidlake sync` first, or name another with --lake",
    LakeAbandoned: "run `rapidlake sync`, which makes it",
    LakeIsFile: "name a folder with --lake or RAPIDLAKE_LAKE",
    FolderRefused: "choose another with --lake, or its permissions",
    LakeIsOlder: "run `rapidlake sync`, which brings it up, and keeps a copy of its catalog",
    LakeMangled: "run `rapidlake verify --repair`, which drops them and reads them again",
    LakeStopped: "run the same command again to go on",
    QueryRefused: "write an answer to a file with -o FILE, or run trusted SQL with --unguarded",
    LakeUnreadable: "ask who keeps it for the right to read it, or for a copy that `rapidlake publish` made",
    LocksRefused: "check owner and permissions of the folder, or read a copy that `rapidlake publish` made",
    PlaceRefused: "name an empty or a new folder with --to",
    CopyRefused: "name an empty or a new folder with --to or RAPIDLAKE_PUBLISH",
}


def told(error: RapidlakeError) -> str:
    """What happened, where, and what to do, in one sentence."""
    advice = ADVICE.get(type(error))
    return f"{str(error).removesuffix('.')}: {advice}." if advice else str(error)


class SettingsError(RapidlakeError):
    """A setting or argument is missing or wrong."""

    exit_code = 2


class WrongWorkspace(RapidlakeError):
    """The token belongs to another workspace than the one whose rows are in the lake."""

    exit_code = 2


class ReportError(RapidlakeError):
    """A report cannot be made of this lake, or not be written."""


class ServerError(RapidlakeError):
    """The server refused a request, or its answer cannot be used."""


class TokenRefused(ServerError):
    """The server does not accept the token for this endpoint (403)."""


class NotOffered(ServerError):
    """The server does not have this endpoint (404)."""


class RequestRefused(ServerError):
    """The server calls the request wrong; sending it again would not help."""


class UnexpectedAnswer(ServerError):
    """The server answered something else than a page of rows."""


class NotTrusted(ServerError):
    """The server's certificate, or that of the store of archive files, is none that this machine trusts."""


class TooLarge(ServerError):
    """An answer, or what an archive file unpacks to, is larger than the settings allow."""


class ServerUnavailable(ServerError):
    """The server failed for longer than the bound on retries."""


class AddressExpired(ServerError):
    """The signed address of an archive file has expired, or its file was replaced."""


class Unproven(ServerError):
    """An archive file's size, MD5 or number of records is not what the server lists."""


class ArchivesFailed(ServerError):
    """Some archive files could not be loaded; the others are."""


class Stopped(RapidlakeError):
    """The user asked to stop; what is committed stays."""


class MustWait(RapidlakeError):
    """The rate limit asks for a longer wait than the run may take; what was read is committed.

    `seconds` is how long until it is worth going on.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The rate limit is used up for {_duration(seconds)}: what was read is committed, and the next run goes on."
        )
        self.seconds = seconds


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
