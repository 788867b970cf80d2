"""Where archive files may come from: their addresses are a server's word, and open nothing on this machine's network.

Names are resolved here and each address is looked at; the download then connects to what was looked at, not to what the
name may lead to a moment later. Ports are free: to hosts that anybody can reach, and over TLS, they give nothing away.
A proxy resolves names itself: then only what the name says can be looked at, and the proxy must guard its own network.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from functools import cached_property

import httpx

from pipeline.access import IpAddress, is_loopback, same_host, stays_here

NONE = "an address that is none"
OTHER_KIND = "an address of another kind than https, and no other is fetched: let the archive store use https"
UNENCRYPTED = "an address of plain http: let the archive store use https"
NAMED = "an address with a user's name in it"
PRIVATE = "an address on a private network: list its host in RAPIDLAKE_ARCHIVE_HOSTS if that is your own store"
A_HOST = re.compile(r"[\w.:-]+", re.ASCII)
HIGHEST_PORT = 65_535
# Names that lead nowhere but into private networks.
PRIVATE_ENDS = (".localhost", ".local", ".internal", ".home.arpa")
CARRIER = ipaddress.ip_network("100.64.0.0/10")
# Addresses of IPv4 as networks without it write them.
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def host_of(url: httpx.URL) -> str:
    """The host of an address as it is asked for: httpx shows some names in another spelling."""
    return url.raw_host.decode("ascii")


class Refused(Exception):
    """No file may come from there; the text says which rule that breaks, and nothing of the address."""


class Unresolved(Exception):
    """A name leads nowhere now."""


class Hosts:
    """What a server's list of archives may name.

    `server` is the address of the API, `listed` the hosts that somebody named for archive files.
    """

    def __init__(self, server: str, listed: Collection[str] = ()) -> None:
        self._server = host_of(httpx.URL(server))
        self._listed = {*listed, same_host(self._server)}  # the API's own host gets even the token

    def read(self, text: str, base: httpx.URL | None = None) -> httpx.URL:
        """The address that `text` is, seen from `base`, without what only a browser wants.

        Raises:
            Refused: it is none that files may come from, whatever its host.
        """
        try:
            url = base.join(text) if base else httpx.URL(text)
            host, _ = same_host(host_of(url)), url.host  # the last is decoded only when somebody looks
        except (httpx.InvalidURL, ValueError, TypeError):
            raise Refused(NONE) from None
        if url.scheme and url.scheme not in ("http", "https"):
            raise Refused(OTHER_KIND)
        if not url.scheme or not A_HOST.fullmatch(host):
            raise Refused(NONE)
        if url.port is not None and not 0 < url.port <= HIGHEST_PORT:
            raise Refused(NONE)
        if url.userinfo:
            raise Refused(NAMED)
        if url.scheme == "http" and not (stays_here(host) and is_loopback(self._server)):
            raise Refused(UNENCRYPTED)
        return url.copy_with(fragment=None)

    def addresses(self, url: httpx.URL) -> list[IpAddress]:
        """What to connect to for an address that `read` has taken; each of them may be.

        Raises:
            Refused: one may not be.
            Unresolved: the name leads nowhere.
        """
        host = host_of(url)
        found, listed = _literal(host), same_host(host) in self._listed
        if stays_here(host) and not listed and not self._server_is_near:  # also where nobody resolves that
            raise Refused(PRIVATE)
        addresses = [found] if found else resolve(host)
        if url.scheme == "http" and not all(address.is_loopback for address in addresses):
            raise Refused(UNENCRYPTED)
        if not listed and not all(map(self._may_be, addresses)):
            raise Refused(PRIVATE)
        return addresses

    def check_name(self, url: httpx.URL) -> None:
        """Look at what can be seen of a host whose name a proxy resolves.

        Raises:
            Refused: it is on a private network.
        """
        host = same_host(host_of(url))
        found = _literal(host)
        if host in self._listed:
            return
        if (found and not self._may_be(found)) or not (found or "." in host) or host.endswith(PRIVATE_ENDS):
            raise Refused(PRIVATE)

    def _may_be(self, address: IpAddress) -> bool:
        """True if files may come from there: all can reach it, somebody listed it, or the API is as near."""
        if str(address) in self._listed:
            return True
        inner = _inner(address)
        if is_public(inner) or str(inner) in self._listed:
            return True
        return self._server_is_near and _is_near(inner)

    @cached_property
    def _server_is_near(self) -> bool:
        """True if the API itself is on a private network, or this machine."""
        found = _literal(self._server)
        try:
            return all(_is_near(_inner(address)) for address in ([found] if found else resolve(self._server)))
        except Unresolved:
            return False


def is_public(address: IpAddress) -> bool:
    """True if anybody can reach it."""
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_link_local
        or address.is_loopback
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
    )


def _is_near(address: IpAddress) -> bool:
    """True for what a private network has; not for where clouds tell secrets (169.254.169.254), nor what is no host."""
    nowhere = address.is_multicast or address.is_unspecified or address.is_link_local
    odd = address.is_reserved and not address.is_loopback  # as ::1 is
    private = address.is_private or (address.version == 4 and address in CARRIER)
    return private and not nowhere and not odd


def _inner(address: IpAddress) -> IpAddress:
    """The address of IPv4 that one of IPv6 leads to, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _literal(host: str) -> IpAddress | None:
    """The address that a host is, also as C reads it: 127.1, 0x7f.1, 2130706433; None if it is a name."""
    plain = host.strip("[]").rstrip(".")
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(plain))
    except (OSError, ValueError):
        return None


def resolve(host: str) -> list[IpAddress]:
    """The addresses that a name leads to now, in the order in which they should be tried.

    Raises:
        Refused: it is no name.
        Unresolved: it leads nowhere.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(str(place[4][0])) for place in found))
    except OSError:
        raise Unresolved from None
    except ValueError:  # of a name that cannot be one
        raise Refused(NONE) from None
