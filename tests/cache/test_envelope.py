import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.cache.envelope import HEADER, Entry, seal, unseal, written_at

KEYS = st.text(max_size=80)
ENTRIES = st.builds(Entry, payload=st.binary(max_size=300), written=st.integers(0, 2**32 - 1))


@given(KEYS, ENTRIES)
def test_round_trip_is_exact(key: str, entry: Entry) -> None:
    """What is sealed is unsealed, byte for byte."""
    sealed = seal(key, entry)
    assert unseal(key, sealed) == entry
    assert written_at(sealed[: HEADER.size]) == entry.written


@given(KEYS, ENTRIES, st.data())
def test_any_flipped_byte_is_found_out(key: str, entry: Entry, data: st.DataObject) -> None:
    """In the header as in the payload."""
    sealed = bytearray(seal(key, entry))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"checksum|version"):
        unseal(key, bytes(sealed))


@given(KEYS, ENTRIES, st.data())
def test_truncated_entry_is_found_out(key: str, entry: Entry, data: st.DataObject) -> None:
    """Wherever it ends too early."""
    sealed = seal(key, entry)
    with pytest.raises(ValueError, match=r"short|checksum"):
        unseal(key, sealed[: data.draw(st.integers(0, len(sealed) - 1))])


@given(st.binary(max_size=300))
def test_strangers_bytes_are_no_entry(junk: bytes) -> None:
    """Any other bytes are refused."""
    with pytest.raises(ValueError, match=r"short|checksum|version"):
        unseal("key", junk)


@given(KEYS, KEYS, ENTRIES)
def test_entry_counts_under_its_own_key_only(key: str, other: str, entry: Entry) -> None:
    """One that was copied or renamed would be another picture's boxes."""
    if key != other:
        with pytest.raises(ValueError, match=r"checksum"):
            unseal(other, seal(key, entry))
