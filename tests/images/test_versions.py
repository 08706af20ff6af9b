import pytest
from yarl import URL

from ml_backend.images.versions import ImageVersion, canonical, is_final, named, validators

PLAIN = "http://bucket.host/a%20b.jpg?versionId=3"


AMAZON = "X-Amz-Algorithm=AWS4&X-Amz-Credential=k%2F2&X-Amz-Date=d&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=5f"
GOOGLE = "X-Goog-Algorithm=GOOG4&X-Goog-Credential=k&X-Goog-Date=d&X-Goog-Expires=9&X-Goog-SignedHeaders=host&X-Goog-Signature=5f"
AZURE = "sv=2024-11-04&se=b&sr=b&sp=r&sig=c%3D"


@pytest.mark.parametrize(
    "signing",
    [
        pytest.param(AMAZON, id="Amazon, version 4"),
        pytest.param(AMAZON.lower(), id="in lower case"),
        pytest.param(f"{AMAZON}&X-Amz-Security-Token=t", id="Amazon, with a session"),
        pytest.param("AWSAccessKeyId=k&Expires=1795326029&Signature=a%2Bb%3D", id="Amazon, version 2"),
        pytest.param(
            "AWSAccessKeyId=k&Expires=1795326029&Signature=a%2Bb%3D&x-amz-security-token=t",
            id="Amazon, version 2, with a session",
        ),
        pytest.param(GOOGLE, id="Google, version 4"),
        pytest.param("GoogleAccessId=me@x&Expires=1795326029&Signature=a%2Bb%3D", id="Google, version 2"),
        pytest.param("Expires=1795326029&Signature=a-b_&Key-Pair-Id=K1", id="CloudFront, canned policy"),
        pytest.param("Policy=e30_&Signature=a-b_&Key-Pair-Id=K1", id="CloudFront, custom policy"),
        pytest.param(AZURE, id="Azure, one service"),
        pytest.param(f"{AZURE}&st=a&spr=https&sip=1.2.3.4&ses=x&sdd=1", id="Azure, with everything that is optional"),
        pytest.param(f"{AZURE}&skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=2024-11-04", id="Azure, for a user"),
        pytest.param("sv=2024-11-04&se=b&ss=b&srt=o&sp=r&sig=c%3D", id="Azure, whole account"),
    ],
)
def test_signatures_are_left_out(signing: str) -> None:
    """The same picture is signed anew for each request; its own parameters stay."""
    assert canonical(URL(f"{PLAIN}&{signing}", encoded=True)) == canonical(URL(PLAIN, encoded=True))
    other = PLAIN.replace("versionId=3", "versionId=4")
    assert canonical(URL(f"{other}&{signing}", encoded=True)) != canonical(URL(PLAIN, encoded=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("sv=2&sig=abc&sr=front", "sv=2&sig=abc&sr=back", id="a camera with two of Azure's names"),
        pytest.param("sv=2&sig=a&se=1&sp=2&sr=front", "sv=2&sig=a&se=1&sp=2&sr=back", id="all of them, and no date"),
        pytest.param(
            AZURE.replace("&sp=r", ""), AZURE.replace("&sp=r", "").replace("sr=b", "sr=c"), id="Azure, one missing"
        ),
        pytest.param(f"{AZURE}&ss=1", f"{AZURE}&ss=2", id="Azure, of the other scheme"),
        pytest.param(f"{AZURE}&snapshot=1", f"{AZURE}&snapshot=2", id="Azure, of the picture"),
        pytest.param("X-Amz-Signature=1&X-Amz-Date=1", "X-Amz-Signature=1&X-Amz-Date=2", id="Amazon, four missing"),
        pytest.param("X-Goog-Signature=1", "X-Goog-Signature=2", id="Google, five missing"),
        pytest.param("Signature=1&Key-Pair-Id=1", "Signature=2&Key-Pair-Id=1", id="CloudFront without an end"),
        pytest.param(
            "AWSAccessKeyId=1&Signature=1", "AWSAccessKeyId=1&Signature=2", id="Amazon, version 2, without an end"
        ),
        pytest.param(
            "AWSAccessKeyId=k&Expires=1&Signature=a&Policy=1",
            "AWSAccessKeyId=k&Expires=1&Signature=a&Policy=2",
            id="a name of another scheme",
        ),
        pytest.param("sig=7", "sig=8", id="a signature alone"),
        pytest.param("Expires=7", "Expires=8", id="an end alone"),
        pytest.param("se=7&sp=2", "se=7&sp=3", id="south-east"),
    ],
)
def test_what_only_looks_like_a_signature_stays(one: str, other: str) -> None:
    """Without the rest of a scheme it may name the picture: two pictures under one key would be answered alike."""
    first, second = (URL(f"http://host/a.jpg?{query}", encoded=True) for query in (one, other))
    assert canonical(first) != canonical(second)


def test_bytes_that_are_no_text_stay_apart() -> None:
    """Two addresses that differ in them only are two pictures."""
    one, other = (URL(f"http://host/a.jpg?{AMAZON}&f=%{byte}", encoded=True) for byte in ("FF", "FE"))
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
    version = ImageVersion("d", source=named(URL("http://host/a.jpg")), etag='"a"', last_modified=BEFORE)
    assert version.conditions(URL("http://host/a.jpg#x")) == {"If-None-Match": '"a"'}
    assert version.conditions(URL("http://other/a.jpg")) == {}
    assert version.conditions(URL("http://host/b.jpg")) == {}
    dated = ImageVersion("d", source=named(URL("http://host/a.jpg")), last_modified=BEFORE)
    assert dated.conditions(URL("http://host/a.jpg")) == {"If-Modified-Since": BEFORE}
    assert ImageVersion("d", source=named(URL("http://host/a.jpg"))).conditions(URL("http://host/a.jpg")) == {}


def test_round_trip_and_junk() -> None:
    """What others wrote is a ValueError."""
    version = ImageVersion("d" * 64, True, "http://host/ü", '"a"', BEFORE)
    assert ImageVersion.from_bytes(version.to_bytes()) == version
    for junk in (b"", b"\xc1", b"\x01", b"\x93\x01\x02\x03", b"\x95\x01\x02\x03\x04\x05"):
        with pytest.raises(ValueError, match="not an encoded image version"):
            ImageVersion.from_bytes(junk)
