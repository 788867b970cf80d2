"""Authorities and certificates, made for a test."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

import trustme


class Authority:
    """An authority whose PEM file is `file`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._made = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._made.cert_pem.write_to_path(self.file)

    def certify(self, *names: str, before: datetime | None = None, after: datetime | None = None) -> ssl.SSLContext:
        """What a server of these names shows, from and up to a time (UTC)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._made.issue_cert(*names, not_before=before, not_after=after).configure_cert(context)
        return context


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server shows that nobody has certified."""
    made = trustme.CA()
    file = folder / "itself.pem"
    made.private_key_pem.write_to_path(file)
    made.cert_pem.write_to_path(file, append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
