import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_backend.redaction import printable, redact, redact_address


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
        ("http://host:8080/a@2x.jpg", "http://host:8080/a@2x.jpg"),
        ("http://[::1]:80/a@b.jpg", "http://[::1]:80/a@b.jpg"),
        ("see http://a.co and http://me:pw@b/", "see http://a.co and http://b/"),
        ("gone: /data/upload/1/a.jpg?token=abc, for good", "gone: /data/upload/1/a.jpg?…, for good"),
        ("loading /home/me/data/models/3f2a9c0b7d1e4f5a6b7c8d9e0f1a2b3c", None),
        ("https://tfhub.dev/google/openimages_v4/ssd/mobilenet_v2/1", None),
    ],
)
def test_addresses_in_texts_lose_what_must_not_be_shown(text: str, expected: str | None) -> None:
    """User, password and query go, the rest of the text stays; None where all of it does."""
    assert redact(text) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("http:\\\\me:pw@host\\a.jpg", "http:\\\\host\\a.jpg", id="backslashes, as browsers take them"),
        pytest.param("http:/me:pw@host/a.jpg", "http:/host/a.jpg", id="one slash, as browsers take it"),
        pytest.param("http:me:pw@host/a.jpg", "http:host/a.jpg", id="no slash, as browsers take it"),
        pytest.param("http://me:p/w@host/a.jpg", "http://host/a.jpg", id="slash in a password"),
        pytest.param("http://me:p?w#@host/a.jpg", "http://host/a.jpg", id="query and fragment in a password"),
        pytest.param("http://proxy/http://me:pw@h/x", "http://proxy/http://h/x", id="address within an address"),
        pytest.param("http://p/http%3A%2F%2Fme%3Apw%40h%2Fx", "http://p/…", id="encoded address within an address"),
        pytest.param("http://h/a.jpg#token", "http://h/a.jpg#…", id="fragment"),
        pytest.param("http://h/a.jpg;token=abc", "http://h/a.jpg;…", id="parameter of the path"),
        pytest.param("http://h/token/abc/a.jpg", "http://h/token/…/a.jpg", id="path, behind a name"),
        pytest.param("http://h/%74oken/abc/a.jpg", "http://h/%74oken/…/a.jpg", id="path, behind an encoded name"),
        pytest.param("http://h/api_key/abc/a.jpg", "http://h/api_key/…/a.jpg", id="path, behind a compound name"),
        pytest.param(
            "http://h/accessKey/abc/a.jpg", "http://h/accessKey/…/a.jpg", id="path, behind a name in camel case"
        ),
        pytest.param("http://h/sig=abc/a.jpg", "http://h/…/a.jpg", id="path, with a name"),
        pytest.param("http://h/a b?token=x y", "http://h/a b?…", id="spaces, as people write them"),
        pytest.param("/data/upload/1/a.jpg?token=abc", "/data/upload/1/a.jpg?…", id="Label Studio's own path"),
        pytest.param(
            "/data/local-files/?d=a/b.jpg&t=x", "/data/local-files/?d=a/b.jpg&…", id="local file keeps its name"
        ),
        pytest.param(
            "http://h/data/local-files/?d=b.jpg", "http://h/data/local-files/?d=b.jpg", id="the same, absolute"
        ),
        pytest.param(
            "/data/local-files/?d=token/abc/a.jpg", "/data/local-files/?d=token/…/a.jpg", id="secret in that name"
        ),
        pytest.param("/data/local-files/?t=abc&d=a.jpg", "/data/local-files/?…", id="another parameter first"),
        pytest.param("/tasks/7/presign/?fileuri=czM6Ly9i", "/tasks/7/presign/?…", id="resolver of Label Studio"),
        pytest.param(
            "http://h/AfrOrF3gWeDA6VOlDG4TzxMv39O7MXnF4CXpKUwGqRM/fit/a.jpg", "http://h/…/fit/a.jpg", id="random part"
        ),
        pytest.param("http://h/550e8400-e29b-41d4-a716-446655440000/a.jpg", "http://h/…/a.jpg", id="UUID as a folder"),
    ],
)
def test_one_address_loses_every_secret(address: str, expected: str) -> None:
    """Wherever in an address people and programs put it."""
    assert redact_address(address) == expected
    assert redact_address(expected) == expected


@pytest.mark.parametrize(
    "name",
    [
        "IMG_20240101_123456_HDR-Edited.jpg",
        "IMG_4567_iPhone12ProMax_HDR.jpg",
        "camera1_2024-01-01T12-00-00Z_frame000123.png",
        "img_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg",
        "550e8400-e29b-41d4-a716-446655440000.jpg",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709.jpg",
        "73f47284-street with a long name (2).jpeg",
        "%E3%81%82%E3%81%84%E3%81%86%E3%81%88%E3%81%8A%E3%81%8B.jpg",
        "monkey/banana.jpg",
        "author/design.jpg",
        "segment-10017090168044687777_6380_000_6400_000_with_camera_labels/1.png",
        "S2A_MSIL1C_20200101T100321_N0208_R122_T33UUP_20200101T102345.SAFE",
    ],
)
def test_names_of_pictures_stay_readable(name: str) -> None:
    """A failure that does not say which picture is of no use."""
    assert redact(f"http://host/{name}") == f"http://host/{name}"


def jwt(claims: dict[str, int]) -> str:
    """Return a JSON Web Token with some claims."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims, {"signature": 0})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


ODD = st.text(st.characters(min_codepoint=32, exclude_categories=["Zs", "Cs", "Cc", "Zl", "Zp"]))


@settings(deadline=None)
@given(
    odd=ODD,
    address=st.sampled_from(
        [
            "http://me:{}@host/a.jpg",
            "HTTPS://{}:pw@host",
            "http:\\\\me:{}@host\\a.jpg",
            "http:/me:{}@host/a.jpg",
            "https:me:{}@host/a.jpg",
            "///me:{}@host/a.jpg",
            "ftp://me:{}@host:21/a.jpg?x",
            "http://host/a.jpg?{}",
            "http://host/a.jpg#{}",
            "http://host/a.jpg;token={}",
            "http://host/a.jpg;v=1?x=#{}",
            "http://host?{}",
            "s3://bucket/a.jpg?X-Amz-Signature={}",
            "/data/upload/1/a.jpg?{}",
            "/prefix/data/local-files/?d=a.jpg&token={}",
            "/data/local-files/?d=a.jpg;{}",
            "/storage-data/uploaded/?filepath=upload/1/a.jpg#{}",
            "/tasks/7/resolve/?fileuri={}",
        ]
    ),
)
def test_no_secret_survives(odd: str, address: str) -> None:
    """Not in one address, and not in a sentence that quotes it, whichever characters the secret has."""
    if "{}:pw@" in address:  # a slash ends the host where no password begins
        odd = "".join(character for character in odd if character not in "/\\?#:")
    secret = address.format(f"s3cret{odd}t3rces")
    for shown in (redact_address(secret), redact(secret), redact(f"GET '{secret}': 404")):
        assert "s3cret" not in shown
        assert "t3rces" not in shown


@settings(deadline=None)
@given(
    secret=st.one_of(
        st.binary(min_size=20, max_size=64).filter(lambda data: len(set(data)) > 15).map(bytes.hex),
        st.dictionaries(st.sampled_from(["exp", "iat", "user_id"]), st.integers(), min_size=1).map(jwt),
    ),
    address=st.sampled_from(
        ["http://host/{}/a.jpg", "s3://bucket/{}", "/data/upload/1/{}/a.jpg", "http://host/a={}.x/b"]
    ),
)
def test_tokens_in_paths_do_not_survive(secret: str, address: str) -> None:
    """Neither tokens in hexadecimal digits, as Label Studio's own, nor JSON Web Tokens."""
    for shown in (redact_address(address.format(secret)), redact(f"GET '{address.format(secret)}': 404")):
        assert secret not in shown
        assert not [part for part in secret.split(".") if part in shown]


@settings(deadline=None)
@given(
    name=st.sampled_from(["token", "access_token", "API-Key", "secret", "passwords", "X-Signature", "sig", "authKey"]),
    between=st.sampled_from(["/", "=", ":", "%3D"]),
    odd=st.text(
        st.characters(min_codepoint=33, exclude_characters="/\\?#;", exclude_categories=["Zs", "Cs", "Cc", "Zl", "Zp"])
    ),
)
def test_named_secrets_in_paths_do_not_survive(name: str, between: str, odd: str) -> None:
    """As the part behind the name, or behind the name itself."""
    address = f"https://host/{name}{between}s3cret{odd}t3rces/a.jpg"
    for shown in (redact_address(address), redact(f"GET {address}: 404")):
        assert "s3cret" not in shown
        assert "t3rces" not in shown
        assert shown.endswith(("/a.jpg", "/a.jpg: 404"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "part", ["//a:", "http:", "eyJ-", "\\\\", "a@", "/a;", "-/data/upload/", "token ", "aA1", "%25"]
)
def test_no_text_takes_long(part: str) -> None:
    """Strangers choose the addresses; each of these repeats the beginning of something that is looked for."""
    for text in (part * (200_000 // len(part)), "http://" + part * (200_000 // len(part)) + "@"):
        redact(text)
        redact_address(text)


@pytest.mark.parametrize(("text", "expected"), [("abc", "abc"), ("abcdef", "abc…"), ("\ud800", "\\ud800"), ("ü", "ü")])
def test_printable_text_can_be_encoded_and_is_short(text: str, expected: str) -> None:
    """Whatever came from outside."""
    assert printable(text, 4) == expected
