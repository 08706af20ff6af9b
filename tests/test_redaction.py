import pytest

from ml_backend.redaction import printable, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/a.jpg?sig=abc", "https://host/a.jpg?…"),
        ("see http://a@b:1/c, and s3://x/y?z=1 too", "see http://b:1/c, and s3://x/y?… too"),
        ("'http://h/?x=1'", "'http://h/?…'"),
        ("is it? yes", "is it? yes"),
        ("me@host", "me@host"),
        ("http://me:p@s@host/a", "http://host/a"),
        ("http://me:p w@host/a", "http://host/a"),
        ("//me:pw@host/data/a.jpg", "//host/data/a.jpg"),
        ("http://host/a@b.jpg", "http://host/a@b.jpg"),
    ],
)
def test_addresses_lose_what_must_not_be_shown(text: str, expected: str) -> None:
    """User, password and query go, the rest stays."""
    assert redact(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("abc", "abc"), ("abcdef", "abc…"), ("\ud800", "\\ud800"), ("ü", "ü")])
def test_printable_text_can_be_encoded_and_is_short(text: str, expected: str) -> None:
    """Whatever came from outside."""
    assert printable(text, 4) == expected
