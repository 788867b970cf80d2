"""Where the token comes from: the environment, a file, `rapidlake.toml` or the system's keyring; never an argument.

What is raised never shows what was found, nor what could be the token itself, put in a wrong place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.addresses import checked_origin, looks_like_address, looks_like_token
from pipeline.errors import SettingsError

VARIABLE, FILE_VARIABLE = "RAPIDPRO_TOKEN", "RAPIDPRO_TOKEN_FILE"
KEYRING_SERVICE = "rapidlake"
# A token has forty characters; what is much longer is another file.
LONGEST_FILE = 4096


def checked_token(text: str, where: str) -> str:
    """The token that stands in `where`, without space around it.

    Raises:
        ValueError: it can be none.
    """
    token = text.strip()
    if looks_like_address(token):
        raise ValueError(f"{where} is an address: it takes a token; are {VARIABLE} and RAPIDPRO_URL exchanged?")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
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
        why = error.strerror if isinstance(error, OSError) else "its name cannot be one"
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


def without_token(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes that need no token."""
    return {name: value for name, value in environment.items() if name.upper() not in (VARIABLE, FILE_VARIABLE)}


def environment_without_token() -> dict[str, str]:
    """This process's environment, for those that need no token."""
    return without_token(os.environ)


def _faults(own: type[Exception]) -> tuple[type[Exception], ...]:
    """What backends raise besides keyring's `own` errors: Linux's those of its libraries, where these are loaded."""
    kinds = (("secretstorage.exceptions", "SecretStorageException"), ("jeepney.wrappers", "DBusErrorResponse"))
    others = [getattr(sys.modules[module], kind) for module, kind in kinds if module in sys.modules]
    return (own, RuntimeError, OSError, ImportError, ValueError, *others)


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
