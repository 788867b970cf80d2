"""Settings: where they come from, which address the token may go to, and what is said when one is missing or wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import Settings, lake_path, load_settings, local_settings, parse_date

TOKEN = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with the two settings that are needed."""
    monkeypatch.setenv("RAPIDPRO_URL", "https://textit.example")
    monkeypatch.setenv("RAPIDPRO_TOKEN", TOKEN)
    return monkeypatch


def token_of(settings: Settings) -> str:
    return settings.token.get_secret_value()


# -- sources --


def test_address_and_token_are_all_that_is_needed(given: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    assert (settings.url, token_of(settings)) == ("https://textit.example", TOKEN)
    assert settings.lake == Path("lake")
    assert (settings.requests_per_hour, settings.share) == (2500, 0.8)


def test_rapidlake_toml_of_the_working_directory_is_read() -> None:
    toml = f'url = "https://rapidpro.example"\ntoken = "{TOKEN}"\nlake = "data/lake"\nlag = 30\n'
    Path("rapidlake.toml").write_text(toml, encoding="utf-8")
    settings = load_settings()
    assert (settings.url, token_of(settings)) == ("https://rapidpro.example", TOKEN)
    assert (settings.lake, settings.lag) == (Path("data/lake"), 30)
    assert lake_path(None) == Path("data/lake")


def test_the_environment_beats_the_file_and_an_argument_beats_both(given: pytest.MonkeyPatch) -> None:
    Path("rapidlake.toml").write_text('url = "https://file.example"\nlake = "file"\nlag = 1\n', encoding="utf-8")
    given.setenv("RAPIDLAKE_LAKE", "environment")
    settings = load_settings(lake=Path("argument"))
    assert (settings.url, settings.lake, settings.lag) == ("https://textit.example", Path("argument"), 1)
    assert load_settings(lake=None).lake == Path("environment")


def test_variables_of_other_programs_are_not_settings(given: pytest.MonkeyPatch) -> None:
    for name in ("URL", "TOKEN", "LAKE", "LAG", "SHARE"):
        given.setenv(name, "https://elsewhere.example")
    settings = load_settings()
    assert (settings.url, token_of(settings), settings.lake) == ("https://textit.example", TOKEN, Path("lake"))


def test_the_lake_is_found_without_address_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lake_path(None) == Path("lake")
    monkeypatch.setenv("RAPIDLAKE_LAKE", "/srv/lake")
    assert lake_path(None) == Path("/srv/lake")
    assert lake_path(Path("other")) == Path("other")


def test_the_lake_is_found_even_if_the_address_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDPRO_URL", "http://textit.example")
    assert lake_path(None) == Path("lake")


# -- addresses --


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("textit.com", "https://textit.com"),
        (" https://textit.com\n", "https://textit.com"),
        ("https://textit.com/", "https://textit.com"),
        ("https://textit.com/api/v2", "https://textit.com"),
        ("https://rapidpro.example:8443/x?y=z#w", "https://rapidpro.example:8443"),
        ("HTTPS://textit.com", "https://textit.com"),
        ("localhost:8000", "https://localhost:8000"),
    ],
)
def test_an_address_becomes_an_origin_over_https(written: str, used: str) -> None:
    assert load_settings(url=written, token=TOKEN).url == used


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://localhost:8000", "http://LOCALHOST", "http://[::1]:8000", "http://127.8.8.8"],
)
def test_plain_http_is_for_this_machine(url: str) -> None:
    assert load_settings(url=url, token=TOKEN).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://textit.com",
        "http://10.0.0.5:8000",
        "http://0.0.0.0:8000",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://evil.example#@127.0.0.1",
        "http://evil.example/?http://localhost",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"unencrypted; write https:// instead"):
        load_settings(url=url, token=TOKEN)


@pytest.mark.parametrize(
    "url", ["", " ", "https://", "ftp://textit.com", "file:///etc/passwd", "http://localhost@evil.example"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"RAPIDPRO_URL is .* write it like https://textit.com"):
        load_settings(url=url, token=TOKEN)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="RAPIDPRO_URL") as caught:
        load_settings(url=f"https://admin:{TOKEN}@textit.com", token=TOKEN)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("url", ["https://[::1", "https://textit.com:99999", "https://textit.com:port"])
def test_a_broken_address_is_told_by_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="RAPIDPRO_URL"):
        load_settings(url=url, token=TOKEN)


# -- what is said --


def test_a_missing_token_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDPRO_URL", "https://textit.example")
    with pytest.raises(SettingsError, match=r"^RAPIDPRO_TOKEN is not set: .*export RAPIDPRO_TOKEN=") as caught:
        load_settings()
    assert "RAPIDPRO_URL" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_address_is_told_with_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"^RAPIDPRO_URL is not set: .*export RAPIDPRO_URL=https://"):
        load_settings(token=TOKEN)


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"RAPIDPRO_TOKEN is not set.*RAPIDPRO_URL is not set"):
        load_settings()


@pytest.mark.parametrize("token", ["", "  ", f"{TOKEN} {TOKEN}", f"{TOKEN}\n{TOKEN}", f"{TOKEN}é", f"Token {TOKEN}"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: str, given: pytest.MonkeyPatch) -> None:
    given.setenv("RAPIDPRO_TOKEN", token)
    with pytest.raises(SettingsError, match="RAPIDPRO_TOKEN") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)


def test_space_around_a_token_is_dropped(given: pytest.MonkeyPatch) -> None:
    given.setenv("RAPIDPRO_TOKEN", f" {TOKEN}\n")
    assert token_of(load_settings()) == TOKEN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAPIDLAKE_SHARE", "0"),
        ("RAPIDLAKE_SHARE", "1.5"),
        ("RAPIDLAKE_REQUESTS_PER_HOUR", "-1"),
        ("RAPIDLAKE_REQUESTS_PER_HOUR", "many"),
        ("RAPIDLAKE_LAG", "-60"),
        ("RAPIDLAKE_OVERLAP", "15 min"),
        ("RAPIDLAKE_PATIENCE", "for ever"),
        ("RAPIDLAKE_BATCH_PAGES", "0"),
        *(("RAPIDLAKE_LONGEST_WAIT", value) for value in ("-1", "a while")),
        *(("RAPIDLAKE_FIRST_MONTH", value) for value in ("2026", "2026-13", "1999-01", "July", "2026-07-01")),
        *(("RAPIDLAKE_LIVE_MINUTES", value) for value in ("0", "7", "90", "15 min", "1.5")),
        *(("RAPIDLAKE_NIGHT_HOUR", value) for value in ("24", "-1", "2 am")),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence_that_names_its_variable(
    name: str, value: str, given: pytest.MonkeyPatch
) -> None:
    given.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    said = str(caught.value)
    assert re.fullmatch(rf"{name}: [^\n]+\.", said), said
    assert repr(value) in said or name == "RAPIDLAKE_LIVE_MINUTES"


@pytest.mark.parametrize(
    "toml",
    [f'token = "{TOKEN}"\nurl = https://textit.example', f'token = "{TOKEN}', f"token = {TOKEN}", "[", "\x00"],
)
def test_a_file_that_is_no_toml_is_told_without_showing_the_token(toml: str) -> None:
    Path("rapidlake.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^rapidlake\.toml cannot be read") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)


def test_a_file_in_another_encoding_is_told() -> None:
    Path("rapidlake.toml").write_bytes('lake = "données"'.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"^rapidlake\.toml cannot be read"):
        load_settings()


# -- what is left out --


@pytest.mark.parametrize("text", ["globals, users", " users,globals,", "globals,users"])
def test_streams_to_leave_out_are_named_in_a_text_or_in_a_list(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", text)
    assert {*local_settings().left_out} == {"globals", "users"}
    monkeypatch.delenv("RAPIDLAKE_LEAVE_OUT")
    assert local_settings().left_out == ()
    for toml in (f'leave_out = "{text}"', 'leave_out = ["globals", "users"]'):
        Path("rapidlake.toml").write_text(toml, encoding="utf-8")
        assert {*local_settings().left_out} == {"globals", "users"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("globals, nothing", r"there is no stream nothing; there are: archives, .* workspace"),
        ("workspace", r"workspace cannot be left out: every sync asks for it first"),
        ("flows", r"flows cannot be left out while definitions is read, .*: leave out definitions too, or keep flows"),
        ("fields", r"fields cannot be left out while contacts is read"),
        ("archives, runs", r"archives cannot be left out while messages is read"),
        ("archives", r"archives cannot be left out while messages, runs are read"),
    ],
)
def test_a_stream_that_there_is_not_or_that_others_need_is_not_left_out(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", text)
    with pytest.raises(SettingsError, match=rf"^RAPIDLAKE_LEAVE_OUT: {said}.*\.$"):
        local_settings()


@pytest.mark.parametrize("text", ["flows, definitions", "contacts, fields", "archives, messages, runs", "contacts"])
def test_what_others_need_is_left_out_with_them(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", text)
    assert ", ".join(local_settings().left_out) == text


# -- dates --


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 2026-01-31 ", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:30:00", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31 08:30", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31T08:30:00Z", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31T08:30:00.000001+02:00", datetime(2026, 1, 31, 6, 30, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_date_is_read_as_utc_unless_it_names_another_zone(text: str, date: datetime) -> None:
    parsed = parse_date(text)
    assert parsed == date
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "31/01/2026", "31.1.2026", "2026-13-01", "2026-02-30", "1767225600", "7d"]
)
def test_what_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match="is no date: write it like 2026-01-31"):
        parse_date(text)


def test_a_date_in_the_future_is_refused() -> None:
    with pytest.raises(SettingsError, match="lies in the future"):
        parse_date("2100-01-01")


@pytest.mark.parametrize("text", ["0026-01-31", "0001-01-01", "0001-01-01T00:00:00+05:00"])
def test_a_year_long_before_any_server_is_a_slip_and_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_date(text)
