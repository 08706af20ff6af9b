import base64
import binascii
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_backend.errors import ImageReferenceError
from ml_backend.http.bounded_body import TooLargeError
from ml_backend.images import data_uri

LARGE = bytes(range(256)) * 10_000  # some steps long


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("data:image/png;base64,aGVsbG8=", b"hello", id="base64"),
        pytest.param("data:image/png;base64, aGVs\r\nbG8=\n", b"hello", id="base64 with line breaks"),
        pytest.param("data:image/png;BASE64,aGVsbG8%3d", b"hello", id="base64 with escapes"),
        pytest.param("  DATA:,hel%6Co\n", b"hello", id="escapes, with white space around"),
        pytest.param("data:text/plain;charset=utf-8,h€llo, you", "h€llo, you".encode(), id="letters beyond ASCII"),
        pytest.param("data:,100%", b"100%", id="no escape"),
        pytest.param("data:,", b"", id="nothing"),
        pytest.param("data:;base64,", b"", id="nothing in base64"),
    ],
)
def test_data_is_decoded(uri: str, expected: bytes) -> None:
    """As browsers do."""
    assert data_uri.decode(uri, 100) == expected


@settings(deadline=None)
@given(data=st.binary(max_size=100), shift=st.integers(0, 50), limit=st.integers(0, 100))
def test_steps_leave_no_trace(data: bytes, shift: int, limit: int) -> None:
    """Wherever a step ends, in an escape, a group of base64 or white space, the data is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_uri, "STEP", 3 + shift)
        encoded = binascii.b2a_base64(data, newline=False).decode()
        for uri in ("data:," + quote_from_bytes(data), "data:;base64," + "\n".join(encoded), "data:;base64," + encoded):
            if len(data) <= limit:
                assert data_uri.decode(uri, limit) == data
            else:
                with pytest.raises(TooLargeError):
                    data_uri.decode(uri, limit)


def test_large_data() -> None:
    """In the steps that it really has."""
    assert data_uri.decode("data:;base64," + base64.b64encode(LARGE).decode(), len(LARGE)) == LARGE
    assert data_uri.decode("data:," + quote_from_bytes(LARGE[:300_000]), len(LARGE)) == LARGE[:300_000]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:;base64,a$bc", "not valid base64"),
        ("data:;base64,abcde", "not valid base64"),
        ("data:;base64,\ud800", "lone surrogate"),
        ("data:," + "%41" * 2_000_001, "over 2,000,000 percent-encodings"),
        ("data:;base64," + "%41" * 2_000_001, "over 2,000,000 percent-encodings"),
    ],
    ids=["no comma", "other letters", "cut short", "surrogate", "many escapes", "many escapes in base64"],
)
def test_other_uris_are_refused_with_the_reason(uri: str, words: str) -> None:
    """And without the data."""
    with pytest.raises(ImageReferenceError, match=words) as caught:
        data_uri.decode(uri, 10_000_000)
    assert len(str(caught.value)) < 200
