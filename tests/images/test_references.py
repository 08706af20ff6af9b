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
        ("/data/local-files?d=a.jpg", LabelStudioReference("/data/local-files?d=a.jpg")),
        ("/storage-data/uploaded/?filepath=a", LabelStudioReference("/storage-data/uploaded/?filepath=a")),
        ("data:image/png;base64,aGVsbG8=", InlineReference("data:image/png;base64,aGVsbG8=")),
        (" \nDATA:,hel%6Co", InlineReference(" \nDATA:,hel%6Co")),
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
        "local file without a slash",
        "upload behind nginx",
        "data URI",
        "data URI in capitals, with white space",
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
        ("/data/%2e%2E/api/users/1", "not a form of image"),
        ("/data/upload/%252e%252e/%252e%252e/api/users/1", "not a form of image"),
        ("/data/upload\\..\\..\\api\\users", "not a form of image"),
        ("/data/upload/..;/..;/api/users", "not a form of image"),
        ("/data/upload/%c0%ae%c0%ae/api/users", "not a form of image"),
        ("/data/export/1.jpg", "not a form of image"),
        ("/api/users/?x=/data/", "not a form of image"),
        ("/api/users/?x=/data/upload/1/a.jpg", "not a form of image"),
        ("/tasks/7/presign/?fileuri=czM6Ly9i", "not a form of image"),
        ("ftp://host/a.jpg", "not a form of image"),
        ("//host/data/a.jpg", "not a form of image"),
        ("http:///a.jpg", "names no host"),
        ("http://[::1/a.jpg", "not a web address"),
        ("http://host:port/a.jpg", "not a web address"),
        ("http://" + "ß" * 254 + "/a.jpg", "over 253 characters"),
        ("x" * 5000, "…"),
    ],
)
def test_other_values_are_refused_with_the_reason(value: object, words: str) -> None:
    """The message says what was found in the image's place, shortened where it is long."""
    with pytest.raises(ImageReferenceError, match=words) as caught:
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
    inline = parse_reference("data:,s3cret")
    assert str(inline) == "data: URI of 12 characters"
    assert "s3cret" not in repr(inline)
    assert str(parse_reference("/data/upload/1/a.jpg?token=s3cret")) == "/data/upload/1/a.jpg?…"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("http://host/" + "a" * 10_000_000, id="path"),
        pytest.param("http://" + "ß" * 10_000_000 + "/a.jpg", id="host"),
        pytest.param("http://" + "@" * 10_000_000, id="user"),
        pytest.param("/data/upload/" + "%25" * 3_000_000, id="path of Label Studio"),
        pytest.param("s3://bucket/" + "a" * 10_000_000, id="cloud storage"),
        pytest.param(" " * 10_000_000, id="white space"),
        pytest.param("a:" * 5_000_000, id="no form at all"),
    ],
)
def test_long_addresses_are_refused_before_anything_looks_at_them(value: str) -> None:
    """A thousand of them in one request cost nothing, and no message quotes them."""
    for _ in range(1000):
        with pytest.raises(
            ImageReferenceError, match=r"characters; the limit is 8,192 \(PRELABEL_ADDRESS_MAX_LENGTH\)$"
        ):
            parse_reference(value)


def test_limit_on_addresses_is_a_setting() -> None:
    """Signed addresses can be long."""
    url = "http://host/" + "a" * 10_000
    assert parse_reference(url, len(url)) == HttpReference(url)
    with pytest.raises(ImageReferenceError, match="the limit is 10,011"):
        parse_reference(url, len(url) - 1)


@pytest.mark.timeout(20)
def test_data_uris_of_any_length_cost_nothing_until_they_are_fetched() -> None:
    """They are told apart on the event loop, which must not wait for them."""
    uri = "data:image/png;base64," + "%" * 100_000_000
    for _ in range(1000):
        reference = parse_reference(uri)
        assert len(f"{reference}{reference!r}") < 200
