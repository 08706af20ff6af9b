"""The format of entries in a store, which detects damage and foreign writes.

    4 bytes   magic and version, ``PLC1``
    4 bytes   time of writing, seconds since 1970, unsigned, big-endian
    16 bytes  BLAKE2b over key, time and payload
    rest      payload

The checksum covers the key, so an entry that was copied under another key is invalid.
"""

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"PLC1"
HEADER = struct.Struct(">4sI16s")


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of an entry; ``written`` in seconds since 1970."""

    payload: bytes
    written: int


def seal(key: str, entry: Entry) -> bytes:
    """Encode an entry for a store."""
    return HEADER.pack(MAGIC, entry.written, _checksum(key, entry)) + entry.payload


def unseal(key: str, sealed: bytes) -> Entry:
    """Decode what :func:`seal` encoded for ``key``.

    Raises:
        ValueError: for any other bytes.
    """
    written = written_at(sealed)
    entry = Entry(sealed[HEADER.size :], written)
    if HEADER.unpack_from(sealed)[2] != _checksum(key, entry):
        raise ValueError("the checksum does not fit")
    return entry


def written_at(sealed: bytes) -> int:
    """Return the time of writing in an entry's header, in seconds since 1970; the checksum is not verified.

    Raises:
        ValueError: these bytes do not begin with a header.
    """
    if len(sealed) < HEADER.size:
        raise ValueError(f"too short: {len(sealed)} bytes")
    magic, written, _ = HEADER.unpack_from(sealed)
    if magic != MAGIC:
        raise ValueError(f"not an entry of this version: it starts with {magic!r}")
    return int(written)


def _checksum(key: str, entry: Entry) -> bytes:
    hashed = hashlib.blake2b(f"{key}\0{entry.written}\0".encode(), digest_size=16)
    hashed.update(entry.payload)
    return hashed.digest()
