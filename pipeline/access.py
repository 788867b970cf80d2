"""What gives access to a server: its address, and the token, from wherever that comes; never from an argument.

Nothing that is raised shows the token, nor what could be it, put in a wrong place.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import SettingsError
from warehouse.declared import kind_of
from warehouse.private import open_to

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK_NAMES = {"localhost", "localhost."}
# What no address of a server has, and each token: it is not shown, wherever it stands.
A_SECRET = re.compile(r"[0-9A-Za-z_-]{32,}")
# A name with a dot and an end such as "com", or anything with ://.
AN_ADDRESS = re.compile(r"\w+://.*|[\w-]+(\.[\w-]+)*\.[A-Za-z]{2,24}(:\d+)?(/.*)?", re.ASCII)
VARIABLE, FILE_VARIABLE = "RAPIDPRO_TOKEN", "RAPIDPRO_TOKEN_FILE"
KEYRING_SERVICE = "rapidlake"
# Files of the working directory where people keep it, and how it stands there.
KEPT_IN = {
    "rapidlake.toml": re.compile(r"^\s*(token|RAPIDPRO_TOKEN)\s*=\s*\S", re.MULTILINE),
    ".env": re.compile(r"^\s*(export\s+)?RAPIDPRO_TOKEN\s*=\s*\S", re.MULTILINE),
}
# Where systems put secrets for a process.
SECRETS = Path("/run")
# A token has forty characters; what is much longer is another file.
LONGEST_FILE = 4096


# Addresses.


def checked_origin(url: str) -> str:
    """The server's origin, e.g. https://textit.com; a path such as /api/v2 is dropped.

    Raises:
        ValueError: it is no web address, plain http to another machine, or a token.
    """
    try:
        parts = urlsplit(url.strip() if "://" in url else f"https://{url.strip()}")
        host = (parts.hostname or "").encode("idna").decode()
        if host.rpartition(".")[2].isdigit():
            ipaddress.ip_address(host)
        wrong = (
            parts.scheme not in ("http", "https")
            or not re.fullmatch(r"[\w.:-]+", host, re.ASCII)
            or "@" in parts.netloc
            or parts.port == 0
        )
    except ValueError:  # brackets, port or host cannot be read
        wrong = True
    if looks_like_token(re.sub(r"\A\s*https?://|[/\s]+\Z", "", url)):
        raise ValueError("RAPIDPRO_URL looks like a token: are RAPIDPRO_URL and RAPIDPRO_TOKEN exchanged?")
    if wrong:
        shown = A_SECRET.sub("...", re.sub(r"[^/]*@", "...@", url))  # a password may stand before the @
        raise ValueError(
            f"RAPIDPRO_URL is {shown!r}, which is no address of a server: write it like https://textit.com"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"RAPIDPRO_URL is http://{host}: the token would travel unencrypted; write https:// instead")
    return f"{parts.scheme}://{parts.netloc}"


def looks_like_token(text: str) -> bool:
    """True if `text` is plainly a token where an address or the name of a file should be."""
    return re.fullmatch(r"(Token\s+)?[0-9A-Za-z]{32,}", text.strip(), re.ASCII | re.IGNORECASE) is not None


def looks_like_address(text: str) -> bool:
    """True if `text` is plainly an address where a token should be."""
    return AN_ADDRESS.fullmatch(text.strip()) is not None


def is_loopback(host: str) -> bool:
    """True if `host` is this machine by name or address, so that nothing sent there travels."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK_NAMES


def stays_here(host: str) -> bool:
    """True if `host` is this machine, or by its name should be, so that no proxy is asked for it."""
    return is_loopback(host) or host.lower().rstrip(".").endswith(".localhost")


def same_host(host: str) -> str:
    """A name or an address of a host, as all its spellings become."""
    plain = host.strip().strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return plain.encode("idna").decode()


def host_names(text: str) -> tuple[str, ...]:
    """The hosts of a list such as "minio.example, 10.0.0.5".

    Raises:
        ValueError: one is no host alone; the text says which.
    """
    named = [name.strip() for name in text.split(",") if name.strip()]
    hosts = []
    for name in named:
        try:
            host = same_host(name)
        except ValueError:
            host = ""
        if not host or not re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", host, re.ASCII):
            raise ValueError(f"{name!r} is no host: write names or addresses alone, like minio.example, 10.0.0.5")
        hosts.append(host)
    return tuple(hosts)


# Tokens.


def checked_token(text: str, where: str) -> str:
    """The token that stands in `where`, without space around it.

    Raises:
        ValueError: it can be none.
    """
    token = text.strip()
    if looks_like_address(token):
        raise ValueError(f"{where} is an address: it takes a token; are {VARIABLE} and RAPIDPRO_URL exchanged?")
    named = token.upper().startswith(VARIABLE)  # a line for a shell
    if not token or named or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{where} is empty or has characters that no token has")
    return token


def choose_token(token: Any, file: Any, names: tuple[str, str]) -> tuple[Any, str] | None:
    """What one source has of a token and of the name of a file, and where it is from; None if it has neither.

    `names` are how people know the two.

    Raises:
        SettingsError: it has both, or there is no token in the file.
    """
    if file in (None, ""):
        return None if token is None else (token, names[0])
    if token not in (None, ""):
        raise SettingsError(f"{names[0]} and {names[1]} are both set: remove {names[0]}, or the other.")
    return read_token(file, names[1]), f"{names[1]} ({file})"


def read_token(file: object, name: str) -> str:
    """The token in a file that the setting `name` gives.

    Raises:
        SettingsError: there is none.
    """
    if not isinstance(file, str | Path):
        raise SettingsError(f"{name} is no path: write it in quotes, or remove it.")
    if looks_like_token(str(file)):
        raise SettingsError(f"{name} looks like a token: it takes the path of a file that holds one.")
    where = f"the file {str(file)!r} of {name}"
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        raise SettingsError(f"There is no {where.removeprefix('the ')}: write the token into it.") from None
    except IsADirectoryError:
        raise SettingsError(f"{_begin(where)} is a folder: name the file in it that holds the token.") from None
    except (OSError, ValueError) as error:
        why = kind_of(error) if isinstance(error, OSError) else "its name cannot be one"
        raise SettingsError(f"{_begin(where)} cannot be read ({why}): let this user read it.") from None
    if len(content) > LONGEST_FILE:
        raise SettingsError(f"{_begin(where)} has more than {LONGEST_FILE:,} bytes: write only the token into it.")
    try:
        return checked_token(content.decode("utf-8-sig"), where)
    except UnicodeDecodeError:
        raise SettingsError(f"{_begin(where)} is no text: write only the token into it.") from None
    except ValueError as error:
        raise SettingsError(f"{_begin(str(error))}: write only the token into it.") from None


def keyring_token(url: object) -> str | None:
    """The token that the system's keyring has for a server; None if it has none, or `rapidlake[keyring]` is not there.

    Raises:
        SettingsError: the keyring cannot be asked, or has no token under this name.
    """
    if find_spec("keyring") is None or not isinstance(url, str):
        return None
    try:
        user = checked_origin(url)
    except ValueError:  # which is told
        return None
    import keyring  # takes a tenth of a second, and is seldom needed
    import keyring.errors

    try:
        found = keyring.get_password(KEYRING_SERVICE, user)
    except keyring.errors.NoKeyringError:
        return None
    except keyring.errors.KeyringLocked:
        raise SettingsError(
            f"{VARIABLE} is not set, and the system's keyring is locked: unlock it, or set {VARIABLE}."
        ) from None
    except _faults(keyring.errors.KeyringError):
        raise SettingsError(
            f"{VARIABLE} is not set, and the system's keyring cannot be asked: mend it, or set {VARIABLE}."
        ) from None
    if not found:
        return None
    where = f"what the keyring has for {KEYRING_SERVICE} {user}"
    try:
        return checked_token(found, where)
    except ValueError as error:
        raise SettingsError(f"{_begin(str(error))}: `keyring set {KEYRING_SERVICE} {user}` replaces it.") from None


def environment_without_token() -> dict[str, str]:
    """This process's environment, for those that need no token."""
    return {name: value for name, value in os.environ.items() if name.upper() not in (VARIABLE, FILE_VARIABLE)}


def exposed_tokens() -> list[str]:
    """A sentence for each file with a token in it that others can read, with what to type.

    Docker's secrets, which any user of a container may read, are nobody's to change.
    """
    known = dict(KEPT_IN)
    if (own := os.environ.get(FILE_VARIABLE)) and not Path(os.path.realpath(own)).is_relative_to(SECRETS):
        known[own] = re.compile(r"\S")
    return [
        f"{name} holds the token, and {who} on this machine may read it: type `chmod 600 {name}`."
        for name, holds in known.items()
        if (who := open_to(Path(name))) and holds.search(_text(Path(name)))
    ]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _faults(own: type[Exception]) -> tuple[type[Exception], ...]:
    """What backends raise besides keyring's `own` errors: Linux's those of its libraries, where these are loaded."""
    kinds = (("secretstorage.exceptions", "SecretStorageException"), ("jeepney.wrappers", "DBusErrorResponse"))
    others = [getattr(sys.modules[module], kind) for module, kind in kinds if module in sys.modules]
    return (own, RuntimeError, OSError, ImportError, ValueError, *others)


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
