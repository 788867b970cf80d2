"""Addresses as people write them: which server the token may go to, and what stays on this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK_NAMES = {"localhost", "localhost."}
# What no address of a server has, and each token: it is not shown, wherever it stands.
A_SECRET = re.compile(r"[0-9A-Za-z_-]{32,}")
# A name with a dot and an end such as "com", or anything with ://.
AN_ADDRESS = re.compile(r"\w+://.*|[\w-]+(\.[\w-]+)*\.[A-Za-z]{2,24}(:\d+)?(/.*)?", re.ASCII)


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
