"""How this machine reaches others: whom it trusts, through which proxy, and what no client of ours keeps or tells."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass

import certifi
import httpcore  # makes its loggers, which httpx does later
import httpx

from pipeline import __version__
from pipeline.access import stays_here
from pipeline.errors import SettingsError
from warehouse.declared import kind_of, log_declared_events

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
USER_AGENT = f"rapidlake/{__version__} (+https://pypi.org/project/rapidlake/)"
LARGEST_CA_FILE = 4 * 1024 * 1024
# What a redirect says is put there, where httpx does not look at it.
LOCATION = "rapidlake.location"
# What OpenSSL calls the faults of certificates.
EXPIRED, NOT_YET_VALID = 10, 9
ITS_OWN, OWN_ROOT, UNKNOWN, UNVERIFIED = 18, 19, 20, 21
OTHER_NAME, OTHER_ADDRESS = 62, 64

# What they log else: whole addresses, the headers of answers, and what the server calls a status.
log_declared_events({httpx.__name__: "HTTP Request", httpcore.__name__: r"[a-z_0-9]+(\.[a-z_0-9]+)+"})


class _NoCookies(CookieJar):
    """Keeps none, and reads none: Python's warns of odd ones with what they say."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass


def open_http(headers: Mapping[str, str], *, ca_file: Path | None, proxy: str | None, **given: Any) -> httpx.Client:
    """A client that follows nothing, keeps no cookies, and asks the proxy, if one is given, and no other.

    Raises:
        SettingsError: certificates or proxy cannot be used.
    """
    context = trusted(ca_file)
    try:
        through = httpx.Proxy(proxy) if proxy else None
        if through and through.url.scheme == "https":
            through.ssl_context = context
        return httpx.Client(
            headers={"User-Agent": USER_AGENT, **headers},
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            verify=context,
            proxy=through,
            cookies=_NoCookies(),
            event_hooks={"response": [_put_location_aside]},
            **given,
        )
    except (ValueError, ImportError, httpx.InvalidURL):  # whose texts may show the proxy's password
        raise SettingsError(
            "The proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY cannot be used: "
            "write it like http://proxy.example:3128, or name your server in NO_PROXY."
        ) from None


def proxy_for(url: httpx.URL) -> str | None:
    """The proxy that the environment names for an address; none for what stays on this machine."""
    if stays_here(url.raw_host.decode("ascii")) or proxy_bypass(url.netloc.decode("ascii")):
        return None
    known = getproxies()
    proxy = known.get(url.scheme) or known.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The authorities whose certificates are believed: the usual ones, or those of SSL_CERT_FILE, and those of a file.

    One context for all clients of a process, for making one reads a hundred and fifty certificates.

    Raises:
        SettingsError: a file cannot be read, or has no certificates.
    """
    own = _certificates(ca_file) if ca_file else ""
    return _context(own, os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None)


@lru_cache(maxsize=4)
def _context(own: str, file: str | None, folder: str | None) -> ssl.SSLContext:
    usual = None if folder else certifi.where()
    try:
        return ssl.create_default_context(cafile=file or usual, capath=None if file else folder, cadata=own or None)
    except OSError:  # also of a file that is no PEM
        raise SettingsError(
            "SSL_CERT_FILE, or SSL_CERT_DIR, cannot be read, or has no certificates (PEM): correct it, or remove it."
        ) from None


def _certificates(file: Path) -> str:
    """What a file of certificates holds."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_CA_FILE)
    except (OSError, ValueError) as error:
        why = kind_of(error) if isinstance(error, OSError) else "its name cannot be one"
        raise SettingsError(
            f"RAPIDLAKE_CA_FILE names {str(file)!r}, which cannot be read ({why}): "
            "name a file of certificates (PEM), or remove the setting."
        ) from None
    certificates = content.decode("ascii", "ignore")  # people write names above them
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            f"RAPIDLAKE_CA_FILE names {str(file)!r}, which has no certificates that can be read: "
            "it takes a PEM file, with a line -----BEGIN CERTIFICATE----- for each."
        ) from None
    return certificates


def distrust(error: BaseException) -> tuple[str, bool] | None:
    """What is wrong with the certificate because of which no connection came about, and whether that may pass.

    None if it was another failure. Only OpenSSL's number is looked at, for its words repeat the certificate's.
    """
    if not isinstance(error, ssl.SSLCertVerificationError):
        below = error.__cause__ or error.__context__
        return distrust(below) if below else None
    code = error.verify_code
    if code == EXPIRED:
        return "has expired, or this machine's clock is ahead", True
    if code == NOT_YET_VALID:
        return "is not valid yet, or this machine's clock is behind", True
    if code in (OTHER_NAME, OTHER_ADDRESS):
        return "is of another name: ask for it by the name that its certificate has", False
    if code in (ITS_OWN, OWN_ROOT, UNKNOWN, UNVERIFIED):
        by = "by itself" if code == ITS_OWN else "by an authority that this machine does not know"
        return f"is signed {by}: if it is yours, name the authority's PEM file in RAPIDLAKE_CA_FILE", False
    return f"is not valid (OpenSSL's number {code}): let whoever runs it mend that", False


def _put_location_aside(answer: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads, which it does though it does not follow."""
    if "Location" in answer.headers:
        answer.extensions[LOCATION] = answer.headers.pop("Location")
