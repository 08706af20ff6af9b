"""How an entry looks in a store that others can write to, or that a power cut can damage.

    4 bytes   magic and version, ``PLC1``
    4 bytes   time of writing, seconds since 1970, unsigned, big-endian
    16 bytes  BLAKE2b over key, time and payload
    rest      payload

The key is under the checksum too, so that an entry that somebody copied under another key is as worthless as a damaged one.
"""

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"PLC1"
HEADER = struct.Struct(">4sI16s")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is in an entry; ``written`` in seconds since 1970."""

    payload: bytes
    written: int


def seal(key: str, entry: Entry) -> bytes:
    """Return an entry in the form of the stores."""
    return HEADER.pack(MAGIC, entry.written, _checksum(key, entry)) + entry.payload


def unseal(key: str, sealed: bytes) -> Entry:
    """Return what :func:`seal` wrote under ``key``.

    Raises:
        ValueError: it is anything else.
    """
    written = written_at(sealed)
    entry = Entry(sealed[HEADER.size :], written)
    if HEADER.unpack_from(sealed)[2] != _checksum(key, entry):
        raise ValueError("the checksum does not fit")
    return entry


def written_at(sealed: bytes) -> int:
    """Return when an entry was written, from its first bytes, in seconds since 1970; nothing else is checked.

    Raises:
        ValueError: these are no first bytes of an entry.
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
