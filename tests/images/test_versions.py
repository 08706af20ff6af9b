import pytest
from yarl import URL

from ml_backend.images.versions import PictureVersion, canonical, is_final, named, validators

PLAIN = "http://bucket.host/a%20b.jpg?versionId=3"


@pytest.mark.parametrize(
    ("signing", "why"),
    [
        (
            "X-Amz-Algorithm=AWS4&X-Amz-Credential=k%2F2&X-Amz-Date=d&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=5f",
            "Amazon, version 4",
        ),
        ("X-Amz-Security-Token=t&X-Amz-Signature=5f", "Amazon, with a session"),
        ("AWSAccessKeyId=k&Expires=1795326029&Signature=a%2Bb%3D", "Amazon, version 2"),
        (
            "X-Goog-Algorithm=GOOG4&X-Goog-Credential=k&X-Goog-Date=d&X-Goog-Expires=9&X-Goog-SignedHeaders=host&X-Goog-Signature=5f",
            "Google",
        ),
        ("GoogleAccessId=me@x&Expires=1795326029&Signature=a%2Bb%3D", "Google, version 2"),
        ("Expires=1795326029&Signature=a-b_&Key-Pair-Id=K1", "CloudFront"),
        ("sv=2024-11-04&st=a&se=b&sr=b&sp=r&spr=https&sig=c%3D", "Azure"),
    ],
)
def test_signatures_are_left_out(signing: str, why: str) -> None:
    """The same picture is signed anew for each request; its own parameters stay."""
    assert canonical(URL(f"{PLAIN}&{signing}", encoded=True)) == canonical(URL(PLAIN, encoded=True))
    other = PLAIN.replace("versionId=3", "versionId=4")
    assert canonical(URL(f"{other}&{signing}", encoded=True)) != canonical(URL(PLAIN, encoded=True))


@pytest.mark.parametrize("query", ["sig=7", "signature=7", "Expires=7", "sv=1", "se=7&sp=2"])
def test_what_only_looks_like_a_signature_stays(query: str) -> None:
    """Without the rest of a scheme it may name the picture."""
    assert canonical(URL(f"http://host/a.jpg?{query}")) != canonical(URL("http://host/a.jpg"))


def test_bytes_that_are_no_text_stay_apart() -> None:
    """Two addresses that differ in them only are two pictures."""
    one, other = (URL(f"http://host/a.jpg?X-Amz-Signature=1&f=%{byte}", encoded=True) for byte in ("FF", "FE"))
    assert canonical(one) != canonical(other)


def test_fragment_is_no_part_of_an_address() -> None:
    """It never reaches the server."""
    assert canonical(URL("http://host/a.jpg#top")) == "http://host/a.jpg"


@pytest.mark.parametrize(
    ("path", "final"),
    [
        ("/data/upload/1/73f47284-street.jpg", True),
        ("/data/upload/12/73f47284-a%20b.jpg", True),
        ("/data/upload/1/street.jpg", False),
        ("/data/upload/1/73f47284-/../x", False),
        ("/data/local-files/", False),
        ("/x/data/upload/1/73f47284-street.jpg", False),
        ("", False),
    ],
)
def test_uploads_with_a_hash_never_change(path: str, final: bool) -> None:
    """Nothing else is taken for granted."""
    assert is_final(path) == final


NOW = "Sun, 22 Nov 2026 12:00:00 GMT"
BEFORE = "Sun, 22 Nov 2026 11:59:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected", "why"),
    [
        ({"ETag": '"a"', "Date": NOW}, ('"a"', ""), "a tag"),
        ({"Last-Modified": BEFORE, "Date": NOW}, ("", BEFORE), "a time that has passed"),
        ({"Last-Modified": NOW, "Date": NOW}, ("", ""), "it may change once more in this second"),
        ({"Last-Modified": BEFORE}, ("", ""), "the server has no clock"),
        ({"Last-Modified": "yesterday", "Date": NOW}, ("", ""), "no date"),
        ({"ETag": '"a"', "Cache-Control": "private, No-Store"}, ("", ""), "not to be kept"),
        ({"ETag": '"caf\udce9"'}, ("", ""), "bytes that cannot be sent back"),
        ({"ETag": f'"{"a" * 300}"'}, ("", ""), "longer than any tag has to be"),
        ({}, ("", ""), "nothing said"),
    ],
)
def test_what_a_server_says_of_a_version(headers: dict[str, str], expected: tuple[str, str], why: str) -> None:
    """Only what can be relied on."""
    assert validators(headers) == expected


def test_conditions_go_to_who_named_them() -> None:
    """Another host may have another picture under the same tag."""
    version = PictureVersion("d", source=named(URL("http://host/a.jpg")), etag='"a"', last_modified=BEFORE)
    assert version.conditions(URL("http://host/a.jpg#x")) == {"If-None-Match": '"a"'}
    assert version.conditions(URL("http://other/a.jpg")) == {}
    assert version.conditions(URL("http://host/b.jpg")) == {}
    dated = PictureVersion("d", source=named(URL("http://host/a.jpg")), last_modified=BEFORE)
    assert dated.conditions(URL("http://host/a.jpg")) == {"If-Modified-Since": BEFORE}
    assert PictureVersion("d", source=named(URL("http://host/a.jpg"))).conditions(URL("http://host/a.jpg")) == {}


def test_round_trip_and_junk() -> None:
    """What others wrote is a ValueError."""
    version = PictureVersion("d" * 64, True, "http://host/ü", '"a"', BEFORE)
    assert PictureVersion.from_bytes(version.to_bytes()) == version
    for junk in (b"", b"\xc1", b"\x01", b"\x93\x01\x02\x03", b"\x95\x01\x02\x03\x04\x05"):
        with pytest.raises(ValueError, match="not an encoded picture version"):
            PictureVersion.from_bytes(junk)
