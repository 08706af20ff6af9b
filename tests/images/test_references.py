import base64
from pathlib import Path

import pytest

from ml_backend.errors import ImageReferenceError
from ml_backend.images.references import (
    CloudReference,
    FileReference,
    HttpReference,
    InlineReference,
    LabelStudioReference,
    parse_reference,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://host/a.jpg", HttpReference("https://host/a.jpg")),
        ("  http://host/a.jpg\n", HttpReference("http://host/a.jpg")),
        ("HTTP://host/a.jpg", HttpReference("HTTP://host/a.jpg")),
        ("http://user:pass@host/a.jpg", HttpReference("http://user:pass@host/a.jpg")),
        ("/data/upload/1/73f-a%20b.jpg", LabelStudioReference("/data/upload/1/73f-a%20b.jpg")),
        ("/data/local-files/?d=imgs/a%20b.jpg", LabelStudioReference("/data/local-files/?d=imgs/a%20b.jpg")),
        ("/prefix/data/upload/1/a.jpg", LabelStudioReference("/prefix/data/upload/1/a.jpg")),
        ("s3://bucket/dir/k ey.jpg", CloudReference("s3://bucket/dir/k ey.jpg")),
        ("gs://bucket/a.jpg", CloudReference("gs://bucket/a.jpg")),
        ("azure-blob://container/a.jpg", CloudReference("azure-blob://container/a.jpg")),
        ("data:image/png;base64,aGVsbG8=", InlineReference(b"hello")),
        ("data:image/png;base64,aGVs\nbG8=", InlineReference(b"hello")),
        ("data:,hel%6Co", InlineReference(b"hello")),
        (Path("a.jpg"), FileReference(Path("a.jpg"))),
    ],
    ids=[
        "https",
        "white space around",
        "scheme in capitals",
        "user and password",
        "upload",
        "local file of Label Studio",
        "upload below a path prefix",
        "S3",
        "Google Cloud Storage",
        "Azure",
        "data URI",
        "data URI with line break",
        "data URI without base64",
        "file, from this machine only",
    ],
)
def test_forms_are_told_apart(value: object, expected: object) -> None:
    """Each form of image reference that a task can hold is recognised from its text."""
    assert parse_reference(value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "the image is null"),
        (7, "the image is a number"),
        (["http://host/a.jpg"], "the image is a list"),
        ({"url": "http://host"}, "the image is an object"),
        ("", "empty text"),
        ("/etc/passwd", "not a form of image"),
        ("file:///etc/passwd", "not a form of image"),
        ("a.jpg", "not a form of image"),
        ("/data/../api/users/1", "not a form of image"),
        ("/api/users/?x=/data/", "not a form of image"),
        ("ftp://host/a.jpg", "not a form of image"),
        ("//host/data/a.jpg", "not a form of image"),
        ("http:///a.jpg", "names no host"),
        ("http://[::1/a.jpg", "not a web address"),
        ("http://host:port/a.jpg", "not a web address"),
        ("data:image/png;base64", "no comma"),
        ("data:image/png;base64,a$b", "not valid base64"),
        ("data:image/png;base64,abcde", "not valid base64"),
        ("x" * 5000, "…"),
    ],
)
def test_other_values_are_refused_with_the_reason(value: object, words: str) -> None:
    """The message says what was found in the image's place, shortened where it is long."""
    with pytest.raises(ImageReferenceError, match=words.replace("$", r"\$")) as caught:
        parse_reference(value)
    assert len(str(caught.value)) < 400


def test_text_form_hides_what_must_not_be_logged() -> None:
    """Passwords and signatures are left out, and an inline picture is not printed."""
    url = "https://user:pass@host/a.jpg?X-Amz-Signature=abc"
    assert str(parse_reference(url)) == "https://host/a.jpg?…"
    for secret in ("ftp://me:s3cret@h/x", "http://me:s3cret@h:bad/x", "s3://b/x?X-Sig=s3cret", "x://h?s3cret"):
        try:
            shown = str(parse_reference(secret))
        except ImageReferenceError as error:
            shown = str(error)
        assert "s3cret" not in shown
    inline = "data:image/png;base64," + base64.b64encode(b"x" * 100).decode()
    assert str(parse_reference(inline)) == "data: URI of 100 bytes"
