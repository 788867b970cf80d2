"""Settings, from the environment or `rapidlake.toml`; the token also from a file or a keyring, never from an argument.

RAPIDPRO_URL                   server, e.g. https://textit.com
RAPIDPRO_TOKEN                 API token of an Administrator or Editor
RAPIDPRO_TOKEN_FILE            file that holds the token instead, as systemd's credentials and Docker's secrets are
RAPIDLAKE_LAKE                 folder of the lake (default: lake)
RAPIDLAKE_REQUESTS_PER_HOUR    what the server allows per scope (default: 2500); 0 for no limit of ours
RAPIDLAKE_SHARE                part of that to use (default: 0.8); the rest is left to other integrations
RAPIDLAKE_LEAVE_OUT            streams that are not read, e.g. globals, users (default: none); those that others need
                               cannot be left out alone
RAPIDLAKE_CA_FILE              certificates (PEM) of authorities to trust besides the usual ones (default: none)
RAPIDLAKE_ARCHIVE_HOSTS        hosts on a private network that archive files may come from, names or addresses
                               (default: none)
RAPIDLAKE_LAG                  seconds before now where a sync ends (default: 60)
RAPIDLAKE_OVERLAP              seconds read again before the last watermark (default: 900)
RAPIDLAKE_REVISITS             recent messages to read again (default: 2h, 2d/1h, 8d/1d: the last 2 hours at each
                               sync, 2 days once an hour, 8 days once a day)
RAPIDLAKE_BATCH_PAGES          pages to commit at once, at most (default: 200)
RAPIDLAKE_PATIENCE             seconds to retry a failing request (default: 300)
RAPIDLAKE_LARGEST_PAGE         MB of one answer of the API when it is unpacked, at most (default: 64)
RAPIDLAKE_LONGEST_ROW          MB of one line of an archive file, at most (default: 32); of a longer one the beginning
                               is kept in `_quarantine`
RAPIDLAKE_LARGEST_ARCHIVE      GB of an archive file when it is unpacked, at most (default: 20)
RAPIDLAKE_LONGEST_WAIT         seconds to wait for the rate limit; where it takes longer, what was read is committed and
                               the run ends (default: none from the command line, 120 in Dagster)
RAPIDLAKE_FIRST_MONTH          first month, YYYY-MM, that Dagster offers to read (default: 2011-01)
RAPIDLAKE_LIVE_MINUTES         minutes between Dagster's syncs of contacts, messages, runs and tickets (default: 15)
RAPIDLAKE_NIGHT_HOUR           hour of the workspace's day when Dagster begins its nightly work (default: 2)
RAPIDLAKE_KEEP_DAYS            days that old versions of rows stay readable (default: 30)
RAPIDLAKE_GROUP                group of this machine that may read what is made (default: none, only the owner)
RAPIDLAKE_PUBLISH              folder of a copy for those who may only read; Dagster renews it after each sync of its
                               schedules (default: none)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline.access import VARIABLE, checked_origin, checked_token, choose_token, host_names, keyring_token
from pipeline.errors import SettingsError
from pipeline.months import Month
from pipeline.streams import check_left_out, parse_revisits
from warehouse.lake import clock
from warehouse.private import group_number, keep_private

MEGABYTE, GIGABYTE = 1024**2, 1024**3
LONGEST_SECONDS = 365 * 86_400.0
# RapidPro's first year; a date before it is a slip.
EARLIEST_YEAR = 2011
# How the address is called in a source.
URL = ("url", "RAPIDPRO_URL")


class Settings(BaseSettings):
    """All settings of one workspace; times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="RAPIDLAKE_", toml_file="rapidlake.toml", extra="forbid", frozen=True, populate_by_name=True
    )

    url: str = Field(validation_alias="RAPIDPRO_URL")
    token: SecretStr = Field(validation_alias="RAPIDPRO_TOKEN")
    token_file: Path | None = Field(default=None, validation_alias="RAPIDPRO_TOKEN_FILE")
    lake: Path = Path("lake")
    requests_per_hour: int = Field(default=2500, ge=0)
    share: float = Field(default=0.8, gt=0, le=1)
    leave_out: str = ""
    ca_file: Path | None = None
    archive_hosts: str = ""
    lag: float = Field(default=60, ge=0, le=LONGEST_SECONDS)
    overlap: float = Field(default=900, ge=0, le=LONGEST_SECONDS)
    revisits: str = "2h, 2d/1h, 8d/1d"
    batch_pages: int = Field(default=200, ge=1)
    patience: float = Field(default=300, ge=0)
    # Pages have 250 rows: contacts of hundreds of fields make 5 MB of them; several are in memory at once.
    largest_page: int = Field(default=64, ge=1, le=1024)
    # DuckDB's buffer takes twice as much.
    longest_row: int = Field(default=32, ge=1, le=1024)
    # A month of ten million messages has 7 GB; more than a disk has room for is never a month.
    largest_archive: float = Field(default=20.0, gt=0)
    longest_wait: float | None = Field(default=None, ge=0)
    first_month: str | None = None
    live_minutes: Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60] = 15
    night_hour: int = Field(default=2, ge=0, le=23)
    keep_days: float = Field(default=30.0, gt=0, le=LONGEST_SECONDS / 86_400)
    publish: Path | None = None
    group: str = ""

    _token_from: str = PrivateAttr(default="what was given to it")

    @property
    def token_from(self) -> str:
        """Where the token comes from, as people know it."""
        return self._token_from

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("url")
    @classmethod
    def _origin(cls, value: str) -> str:
        return checked_origin(value)

    @field_validator("revisits")
    @classmethod
    def _schedule(cls, value: str) -> str:
        with _wrong("RAPIDLAKE_REVISITS:"):
            parse_revisits(value)
        return value

    @field_validator("leave_out", "archive_hosts", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("leave_out")
    @classmethod
    def _can_be_left_out(cls, value: str) -> str:
        with _wrong("RAPIDLAKE_LEAVE_OUT:"):
            check_left_out(_names(value))
        return value

    @field_validator("archive_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        with _wrong("RAPIDLAKE_ARCHIVE_HOSTS:"):
            host_names(value)
        return value

    @property
    def stores(self) -> tuple[str, ...]:
        """Hosts on a private network that archive files may come from."""
        return host_names(self.archive_hosts)

    @field_validator("publish", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "" else value  # which would be the working directory

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the streams that are not read."""
        return _names(self.leave_out)

    @field_validator("first_month")
    @classmethod
    def _month(cls, value: str | None) -> str | None:
        try:
            return value and str(Month.parse(value))
        except SettingsError as error:
            raise ValueError(f"RAPIDLAKE_FIRST_MONTH: {str(error).rstrip('.')}") from None

    @field_validator("group")
    @classmethod
    def _is_ours(cls, value: str) -> str:
        if value:
            with _wrong("RAPIDLAKE_GROUP"):
                group_number(value)
        return value

    @field_validator("live_minutes", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.strip().isdigit() else value

    @field_validator("token")
    @classmethod
    def _one_word(cls, value: SecretStr) -> SecretStr:
        return SecretStr(checked_token(value.get_secret_value(), VARIABLE))


@contextmanager
def _wrong(setting: str) -> Iterator[None]:
    """What is wrong with a value begins with the name of its setting."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{setting} {error}") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def load_settings(**given: Any) -> Settings:
    """Settings from arguments, then the environment, then `rapidlake.toml` in the working directory.

    From here on this process lets the group read what it makes, where one is set.

    Raises:
        SettingsError: one is missing or wrong; the text names it and never shows the token.
    """
    try:
        given = {name: value for name, value in given.items() if value is not None}
        found = None if "token" in given else _find_token(given)
        settings = Settings(**given | ({"token": found[0]} if found else {}))
    except ValidationError as error:
        raise SettingsError(" ".join(sorted({_sentence(dict(problem)) for problem in error.errors()}))) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"rapidlake.toml cannot be read: {error}. Correct it, or remove it.") from None
    if settings.group:
        keep_private(group_number(settings.group))
    if found:
        settings._token_from = found[1]
    return settings


def _find_token(given: dict[str, Any]) -> tuple[Any, str] | None:
    """The token, and where it is from: the first place that has one, of the environment, the file and the keyring."""
    environment, toml = EnvSettingsSource(Settings)(), TomlConfigSettingsSource(Settings)()
    for source, names in (
        (environment, ("RAPIDPRO_TOKEN", "RAPIDPRO_TOKEN_FILE")),
        (toml, ("token in rapidlake.toml", "token_file in rapidlake.toml")),
    ):
        found = choose_token(source.get("RAPIDPRO_TOKEN"), source.get("RAPIDPRO_TOKEN_FILE"), names)
        if found:
            return found
    url = next((source[name] for source in (given, environment, toml) for name in URL if name in source), None)
    token = keyring_token(url)
    return (token, "the system's keyring") if token else None


def _sentence(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][-1]) if problem["loc"] else ""
    variable = (
        name.upper()
        if name.startswith("RAPID")
        else f"RAPIDPRO_{name.upper()}"
        if name in ("url", "token", "token_file")
        else f"RAPIDLAKE_{name.upper()}"
    )
    if problem["type"] == "extra_forbidden":
        return f"rapidlake.toml has {name!r}, which is no setting: docs/reference.md lists their names."
    if problem["type"] == "missing":
        hint = {
            "RAPIDPRO_URL": "set it to your server, e.g. export RAPIDPRO_URL=https://textit.com",
            "RAPIDPRO_TOKEN": "set it to an API token of your workspace (export RAPIDPRO_TOKEN=...), "
            "or RAPIDPRO_TOKEN_FILE to a file that holds one",
        }.get(variable, "set it")
        return f"{variable} is not set: {hint}; `rapidlake demo` needs neither."
    if problem["type"] == "value_error":
        return re.sub(r"(?<![.?])\Z", ".", str(problem["ctx"]["error"]))
    if variable.startswith("RAPIDPRO_TOKEN"):
        return f"{variable} is no text: write it in quotes."
    must = problem["msg"].partition(",")[0].replace("Input should be", "it must be")
    return f"{variable}: {must}, not {problem['input']!r}."


def lake_path(given: Path | None) -> Path:
    """Folder of the lake from the argument, the environment or `rapidlake.toml`; needs neither address nor token."""
    return local_settings(lake=given).lake


def local_settings(**given: Any) -> Settings:
    """As `load_settings`, for what needs no server: address and token are not looked at."""
    return load_settings(**given | {"url": "https://unused.invalid", "token": "unused"})


def parse_date(text: str) -> datetime:
    """A date or time of a user's, as UTC.

    Raises:
        SettingsError: it is none, lies in the future, or before there was any server.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise SettingsError(f"{text!r} is no date: write it like 2026-01-31 or 2026-01-31T08:00:00Z.") from None
    if at.year < EARLIEST_YEAR:
        raise SettingsError(f"{text!r} lies before there was any RapidPro: leave --since out to read everything.")
    at = at.replace(tzinfo=at.tzinfo or UTC)
    if at > clock.now():
        raise SettingsError(f"{text!r} lies in the future: --since takes a date from which rows exist.")
    return at.astimezone(UTC)
