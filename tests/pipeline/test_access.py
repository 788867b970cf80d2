"""Where the token comes from, in which order, and what is said where it does not, without a word of what was found."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import InitError, KeyringLocked, NoKeyringError

from pipeline.errors import SettingsError
from pipeline.proof.doctor import Finding, examine
from pipeline.report.drawing import draw
from pipeline.settings import load_settings, local_settings
from sandbox import Sandbox, Workspace
from tests import processes
from tests.commands import run, run_apart
from tests.conftest import Answer, Serve
from tests.pipeline.server.certified import Authority

TOKEN = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812"
OTHER = TOKEN[::-1]
URL = "https://textit.example"


class Chest(KeyringBackend):
    """A keyring in memory, which may be shut."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[tuple[str, str], str] = {}
        self.fault: Exception | None = None
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.tokens.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.tokens[(service, username)] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.tokens[(service, username)]


@pytest.fixture
def chest() -> Iterator[Chest]:
    before, chest = keyring.get_keyring(), Chest()
    keyring.set_keyring(chest)
    yield chest
    keyring.set_keyring(before)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("RAPIDPRO_URL", URL)
    return monkeypatch


def written(content: bytes | str, name: str = "token") -> Path:
    file = Path(name).absolute()
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def found() -> tuple[str, str]:
    settings = load_settings()
    return settings.token.get_secret_value(), settings.token_from


# -- files --


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", f" {TOKEN} \r\n\n", f"\N{BYTE ORDER MARK}{TOKEN}\r\n"])
def test_a_token_is_read_from_a_file_as_it_is_written_by_people_and_machines(
    content: str, given: pytest.MonkeyPatch
) -> None:
    file = written(content)
    given.setenv("RAPIDPRO_TOKEN_FILE", str(file))
    assert found() == (TOKEN, f"RAPIDPRO_TOKEN_FILE ({file})")


def test_a_pipe_is_a_file_too(given: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, TOKEN.encode())
    os.close(writing)
    given.setenv("RAPIDPRO_TOKEN_FILE", f"/dev/fd/{reading}")
    assert found()[0] == TOKEN
    os.close(reading)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty or has characters"),
        ("\n\n", "is empty or has characters"),
        (f"RAPIDPRO_TOKEN = {TOKEN}", "is empty or has characters"),
        (f"RAPIDPRO_TOKEN={TOKEN}", "is empty or has characters"),
        (f"{TOKEN}\n{TOKEN}", "is empty or has characters"),
        (f"https://{TOKEN}.example/", "is an address"),
        (f"{TOKEN}é", "is empty or has characters"),
        (f"{TOKEN}".encode("utf-16"), "is no text"),
        (b"\xff" + TOKEN.encode(), "is no text"),
        (f"{TOKEN}\n" * 200, "has more than 4,096 bytes"),
    ],
)
def test_a_file_without_a_token_is_told_and_not_shown(
    content: bytes | str, said: str, given: pytest.MonkeyPatch
) -> None:
    given.setenv("RAPIDPRO_TOKEN_FILE", str(written(content)))
    with pytest.raises(SettingsError, match=rf"^The file '.*token' of RAPIDPRO_TOKEN_FILE {said}.*\.$") as caught:
        load_settings()
    assert TOKEN[:9] not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"), [("missing", "There is no file"), (".", "is a folder"), ("x" * 300, "cannot be read")]
)
def test_a_file_that_is_none_is_told(name: str, said: str, given: pytest.MonkeyPatch) -> None:
    given.setenv("RAPIDPRO_TOKEN_FILE", f"./{name}")
    with pytest.raises(SettingsError, match=r"^(The file|There is no file) .* of RAPIDPRO_TOKEN_FILE.*\.$") as caught:
        load_settings()
    assert said in str(caught.value)


@pytest.mark.parametrize("value", ['"a\\u0000b"', "5", f'["{TOKEN}"]'])
def test_a_name_that_no_file_has_is_told_and_not_shown(value: str, given: pytest.MonkeyPatch) -> None:
    written(f"token_file = {value}", "rapidlake.toml")
    with pytest.raises(SettingsError, match=r"token_file in rapidlake\.toml") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)


def test_a_token_in_place_of_a_files_name_is_not_shown(given: pytest.MonkeyPatch) -> None:
    given.setenv("RAPIDPRO_TOKEN_FILE", TOKEN)
    with pytest.raises(SettingsError, match=r"^RAPIDPRO_TOKEN_FILE looks like a token") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)


# -- their order --


def test_a_token_and_a_file_together_are_refused_and_an_empty_one_is_none(given: pytest.MonkeyPatch) -> None:
    given.setenv("RAPIDPRO_TOKEN_FILE", str(written(OTHER)))
    given.setenv("RAPIDPRO_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match=r"^RAPIDPRO_TOKEN and RAPIDPRO_TOKEN_FILE are both set: remove") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)
    given.setenv("RAPIDPRO_TOKEN", "")
    assert found()[0] == OTHER
    given.setenv("RAPIDPRO_TOKEN", TOKEN)
    given.setenv("RAPIDPRO_TOKEN_FILE", "")
    assert found() == (TOKEN, "RAPIDPRO_TOKEN")


def test_the_environment_outranks_the_settings_file_and_that_the_keyring(
    given: pytest.MonkeyPatch, chest: Chest
) -> None:
    chest.tokens[("rapidlake", URL)] = "k" * 40
    assert found() == ("k" * 40, "the system's keyring")
    written(f'token_file = "{written(OTHER)}"', "rapidlake.toml")
    assert found() == (OTHER, f"token_file in rapidlake.toml ({written(OTHER)})")
    written(f'token = "{OTHER}"', "rapidlake.toml")
    assert found() == (OTHER, "token in rapidlake.toml")
    given.setenv("RAPIDPRO_TOKEN_FILE", str(written(TOKEN)))
    assert found()[0] == TOKEN
    assert load_settings(token="t" * 40).token.get_secret_value() == "t" * 40
    assert chest.asked == 1
    written(f'token = "{OTHER}"\ntoken_file = "token"', "rapidlake.toml")
    given.delenv("RAPIDPRO_TOKEN_FILE")
    with pytest.raises(SettingsError, match=r"^token in rapidlake\.toml and token_file in rapidlake\.toml are both"):
        load_settings()


def test_what_needs_no_server_looks_for_no_token(given: pytest.MonkeyPatch, chest: Chest) -> None:
    given.setenv("RAPIDPRO_TOKEN_FILE", "missing")
    assert local_settings().lake == Path("lake")
    assert chest.asked == 0


# -- the keyring --


@pytest.mark.parametrize("url", ["https://textit.example", "textit.example/", " https://textit.example/api/v2\n"])
def test_the_keyring_has_the_token_under_the_servers_address_however_that_is_written(
    url: str, given: pytest.MonkeyPatch, chest: Chest
) -> None:
    keyring.set_password("rapidlake", URL, TOKEN)
    given.setenv("RAPIDPRO_URL", url)
    assert found() == (TOKEN, "the system's keyring")
    given.setenv("RAPIDPRO_URL", "https://elsewhere.example")
    with pytest.raises(SettingsError, match="RAPIDPRO_TOKEN is not set"):
        load_settings()
    assert load_settings(url=url).token.get_secret_value() == TOKEN  # as --url


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (KeyringLocked("secret"), "the system's keyring is locked: unlock it"),
        (InitError("secret"), "the system's keyring cannot be asked"),
        (RuntimeError("secret"), "the system's keyring cannot be asked"),
        (NoKeyringError("secret"), "set it to an API token"),
    ],
)
def test_a_keyring_that_gives_nothing_is_told(
    fault: Exception, said: str, given: pytest.MonkeyPatch, chest: Chest
) -> None:
    chest.fault = fault
    with pytest.raises(SettingsError, match=rf"^RAPIDPRO_TOKEN is not set.*{said}.*\.$") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_what_the_keyring_has_may_be_no_token(given: pytest.MonkeyPatch, chest: Chest) -> None:
    chest.tokens[("rapidlake", URL)] = f"{TOKEN} {TOKEN}"
    with pytest.raises(SettingsError, match=rf"keyring has for rapidlake {URL} .*`keyring set rapidlake") as caught:
        load_settings()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("address", [None, "ftp://textit.example"])
def test_without_a_good_address_no_keyring_is_asked(
    address: str | None, monkeypatch: pytest.MonkeyPatch, chest: Chest
) -> None:
    if address:
        monkeypatch.setenv("RAPIDPRO_URL", address)
    with pytest.raises(SettingsError, match="RAPIDPRO_URL"):
        load_settings()
    assert chest.asked == 0


def test_no_command_that_has_a_token_or_needs_none_imports_the_keyrings_package() -> None:
    code = (
        "import sys\n"
        "from pipeline.cli.commands import app\n"
        "from pipeline.settings import load_settings, local_settings\n"
        f"local_settings(), load_settings(url={URL!r}, token='a')\n"
        "print([name for name in sys.modules if name.startswith('keyring')])"
    )
    assert processes.run([sys.executable, "-c", code]).stdout.strip() == "[]"


# -- exchanged --


@pytest.mark.parametrize("url", [TOKEN, f"https://{TOKEN}", f" {TOKEN}\n", f"https://{TOKEN}/", f"Token {TOKEN}"])
def test_a_token_in_place_of_the_address_is_told_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^RAPIDPRO_URL looks like a token: are .* exchanged\?\.?$") as caught:
        load_settings(url=url, token=TOKEN)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("url", [f"ftp://{TOKEN}", f"<{TOKEN}>", f"https://{TOKEN} {TOKEN}", f"{TOKEN}:x"])
def test_a_token_within_an_address_that_is_none_is_not_shown_either(url: str) -> None:
    with pytest.raises(SettingsError, match="RAPIDPRO_URL") as caught:
        load_settings(url=url, token=TOKEN)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "token", ["https://secret.example", "secret.example", "secret.example:8000/api/v2", "http://x"]
)
def test_an_address_in_place_of_the_token_is_told_and_not_shown(token: str) -> None:
    with pytest.raises(SettingsError, match=r"^RAPIDPRO_TOKEN is an address") as caught:
        load_settings(url=URL, token=token)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "token", ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "a.b"]
)
def test_a_token_with_dots_is_a_token(token: str) -> None:
    assert load_settings(url=URL, token=token).token.get_secret_value() == token


@pytest.mark.parametrize(
    "hosts", ["https://minio.example", "minio.example:9000", "a b", "ana@minio", "10.0.0.0/8", "*"]
)
def test_hosts_of_archives_are_names_and_addresses_alone(hosts: str, given: pytest.MonkeyPatch) -> None:
    given.setenv("RAPIDLAKE_ARCHIVE_HOSTS", f"good.example, {hosts}")
    with pytest.raises(SettingsError, match=r"^RAPIDLAKE_ARCHIVE_HOSTS: .* is no host: write names or addresses alone"):
        local_settings()
    given.setenv("RAPIDLAKE_ARCHIVE_HOSTS", " MinIO.example., 10.0.0.5,[fd00::0:1],")
    assert local_settings().stores == ("minio.example", "10.0.0.5", "fd00::1")


# -- commands --


@pytest.fixture(scope="module")
def served(small_workspace: Workspace) -> Iterator[Sandbox]:
    with Sandbox(small_workspace, requests_per_hour=0, keep=True) as served:
        yield served


def test_a_sync_needs_no_more_than_a_file_with_the_token(served: Sandbox, lake: Path) -> None:
    file = written(f"{served.token}\n")
    access = {"RAPIDPRO_URL": served.url, "RAPIDPRO_TOKEN_FILE": str(file)}
    assert run_apart("sync", "labels", "--lake", lake, **access).code == 0
    ended = run("sync", "labels", "--lake", lake, **{**access, "RAPIDPRO_TOKEN_FILE": "missing"})
    assert ended.code == 2
    assert "There is no file 'missing' of RAPIDPRO_TOKEN_FILE: write the token into it." in ended.said


def test_the_doctor_says_where_the_token_is_from_and_which_authorities_are_added(
    served: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, authority = written(served.token), Authority(tmp_path)
    monkeypatch.setenv("RAPIDPRO_TOKEN_FILE", str(file))
    settings = load_settings(url=served.url, lake=tmp_path / "lake", ca_file=authority.file)
    (told,) = [one for one in examine(settings) if one.check == "settings"]
    assert told == Finding(
        "settings",
        True,
        f"the token is from RAPIDPRO_TOKEN_FILE ({file}); certificates are also proven with {authority.file}",
    )


def test_a_server_with_a_private_authority_is_believed_with_its_file_and_told_without(
    serve: Serve, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    workspace = b'{"uuid":"0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e","name":"Farm"}'
    origin = serve(lambda asked: Answer(workspace), authority.certify("127.0.0.1"))
    access = {"RAPIDPRO_URL": origin.url, "RAPIDPRO_TOKEN": TOKEN, "RAPIDLAKE_PATIENCE": "0"}
    told = run("doctor", **access, RAPIDLAKE_CA_FILE=str(authority.file))
    assert "it is of the workspace 0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e" in told.said
    origin.asked.clear()
    untold = run("doctor", **access)
    assert f"the certificate of {origin.url} is signed by an authority" in untold.said
    assert "RAPIDLAKE_CA_FILE" in untold.said
    wrong = run("sync", **access, RAPIDLAKE_CA_FILE="missing.pem")
    assert wrong.code == 2
    assert "RAPIDLAKE_CA_FILE names 'missing.pem', which cannot be read (No such file or directory)" in wrong.said
    assert origin.asked == []


def test_the_process_that_draws_charts_is_given_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = tmp_path / "environment"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os; open({str(shown)!r}, 'w').write(repr(dict(os.environ)))", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("RAPIDPRO_TOKEN", TOKEN)
    monkeypatch.setenv("rapidpro_token_file", "/run/secret")
    draw([{"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a"}}}])
    said = shown.read_text(encoding="utf-8")
    assert "PYTHONPATH" in said
    assert TOKEN not in said and "/run/secret" not in said
