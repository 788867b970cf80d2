"""Answers as they arrive: unpacked piece by piece, so that none takes more memory than it may."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import httpx
from isal import isal_zlib

PIECE_BYTES = 1024 * 1024
LONGEST_REFUSAL = 64 * 1024
GZIP_WINDOW = 31
# What a server or a proxy calls an answer that is not packed.
PLAIN = {"", "identity", "none"}
BROKEN = cast(type[Exception], isal_zlib.error)  # its annotation is wrong


class TooMuch(Exception):
    """An answer has more bytes than it may."""


class BrokenPacking(Exception):
    """An answer cannot be unpacked, or ends before it is whole."""


class UnknownPacking(Exception):
    """An answer is packed in another way than was asked for."""


def read_body(answer: httpx.Response, most: int) -> bytes:
    """The content of an answer that is being streamed, at most `most` bytes.

    Raises:
        TooMuch, BrokenPacking, UnknownPacking: it cannot be had.
        httpx.TransportError: the connection broke off.
    """
    packing = answer.headers.get("Content-Encoding", "").strip().lower()
    if packing in PLAIN:
        pieces = answer.iter_raw()
    elif packing in ("gzip", "x-gzip"):
        pieces = _unpacked(answer.iter_raw())
    else:
        raise UnknownPacking
    body = io.BytesIO()  # hands its content out without a copy
    for piece in pieces:
        body.write(piece)
        if body.tell() > most:
            raise TooMuch
    return body.getvalue()


def read_off(answer: httpx.Response) -> None:
    """Read what a refusal says, so that its connection can be used again, unless that is long."""
    read = 0
    with suppress(httpx.TransportError):  # its status says enough
        for chunk in answer.iter_raw():
            read += len(chunk)
            if read > LONGEST_REFUSAL:
                return


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What gzip members hold, in pieces of bounded size, however well they are packed."""
    member = None
    for chunk in chunks:
        while chunk:
            if member is None or member.eof:
                if member and not chunk.startswith(b"\x1f"):  # padding after the last member
                    break
                member = isal_zlib.decompressobj(wbits=GZIP_WINDOW)
            try:
                piece = member.decompress(chunk, PIECE_BYTES)
            except BROKEN:
                raise BrokenPacking from None
            if piece:
                yield piece
            chunk = member.unused_data if member.eof else member.unconsumed_tail
    if member is None or not member.eof:
        raise BrokenPacking
