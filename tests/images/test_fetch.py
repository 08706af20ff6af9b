import base64
import gzip
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from picture_server import Answer, PictureServer, picture_server

from ml_backend.errors import ImageFetchError, ImageReferenceError
from ml_backend.images import ImageFetcher, LabelStudios, parse_reference
from ml_backend.settings import Settings, load_settings

PICTURE = bytes(range(256)) * 100


async def fetch(value: object, **settings: Any) -> bytes:
    """Fetch what a task names, with some settings."""
    given = load_settings(**settings)
    async with ImageFetcher(given) as fetcher:
        fetched = await fetcher.fetch(parse_reference(value), LabelStudios(given).configured, 7)
        assert fetched is not None
        assert fetched.version.digest == hashlib.sha256(fetched.data).hexdigest()
        return fetched.data


@pytest.fixture
def label_studio() -> Iterator[PictureServer]:
    """Give a second server, on a second loopback address, in Label Studio's place."""
    with picture_server("127.0.0.2") as server:
        yield server


async def test_http_picture_arrives_byte_for_byte(pictures: PictureServer) -> None:
    """The digest is over these bytes, so they must be the file's."""
    assert await fetch(pictures.add("/a.jpg", PICTURE)) == PICTURE


async def test_compressed_transfer_is_undone(pictures: PictureServer) -> None:
    """A server may compress on the way; the file is what it compressed."""
    answer = Answer(gzip.compress(PICTURE), headers={"Content-Encoding": "gzip"})
    assert await fetch(pictures.add("/a.bmp", answer)) == PICTURE


async def test_length_need_not_be_announced(pictures: PictureServer) -> None:
    """A body that ends with the connection is complete."""
    assert await fetch(pictures.add("/a.jpg", Answer(PICTURE, announced=-1))) == PICTURE


async def test_signed_url_reaches_the_server_letter_by_letter(pictures: PictureServer) -> None:
    """Normalizing a presigned URL would break its signature."""
    url = pictures.add("/a%2Fb%7e.jpg", PICTURE) + "?X-Sig=a%2Bb%2F%3D&e=%7E"
    await fetch(url)
    assert pictures.requests[-1][0] == "/a%2Fb%7e.jpg?X-Sig=a%2Bb%2F%3D&e=%7E"


async def test_spaces_and_letters_beyond_ascii_are_encoded(pictures: PictureServer) -> None:
    """People write URLs as they see them."""
    pictures.add("/k%20ey-%C3%BC.jpg", PICTURE)
    assert await fetch(pictures.url + "/k ey-ü.jpg") == PICTURE


async def test_file_of_this_machine(tmp_path: Path) -> None:
    """The command line reads files."""
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    assert await fetch(tmp_path / "a.jpg") == PICTURE
    with pytest.raises(ImageFetchError, match="No such file"):
        await fetch(tmp_path / "b.jpg")
    with pytest.raises(ImageFetchError, match="Is a directory"):
        await fetch(tmp_path)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=404), "answered 404"),
        (Answer(status=500), "answered 500"),
        (Answer(status=204), "answered 204"),
        (Answer(b""), "without a body"),
        (Answer(PICTURE, announced=len(PICTURE) + 10), "broke off"),
        (Answer(b"x", announced=10**9), "over the limit of 50,000 bytes"),
        (Answer(b"x" * 60_000, announced=-1), "over the limit of 50,000 bytes"),
        (Answer(gzip.compress(b"x" * 10**7), headers={"Content-Encoding": "gzip"}), "over the limit of 50,000 bytes"),
        (Answer(b"not gzip", headers={"Content-Encoding": "gzip"}), "cannot be fetched"),
        (Answer(PICTURE, held=True), "did not arrive within 0.5 s"),
        (Answer(status=302, headers={"Location": "/loop"}), "redirects more than 5 times"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "not http"),
        (Answer(status=302, headers={"Location": "http://169.254.169.254/latest"}), "no picture is fetched from"),
    ],
    ids=[
        "not found",
        "server error",
        "no content",
        "empty body",
        "connection breaks",
        "too large, announced",
        "too large, not announced",
        "too large once unpacked",
        "wrongly compressed",
        "slow",
        "redirects in a circle",
        "redirects to a file",
        "redirects to a metadata service",
    ],
)
async def test_what_cannot_be_fetched_says_why(pictures: PictureServer, answer: Answer, words: str) -> None:
    """One sentence that names the picture and the cause."""
    url = pictures.add("/loop", answer)
    with pytest.raises(ImageFetchError, match=words) as caught:
        await fetch(url, image_max_bytes=50_000, image_timeout=0.5 if answer.held else 60)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/a.jpg", r"cannot connect to 127.0.0.1:1 \(Connection refused\)"),
        ("http://no-such-host.invalid/a.jpg", "cannot connect to no-such-host.invalid:80"),
        ("http://169.254.169.254/latest/meta-data", "no picture is fetched from"),
        ("http://[::ffff:169.254.169.254]/latest", "no picture is fetched from"),
        ("http://0xA9FEA9FE/latest", "no picture is fetched from|cannot connect|not a canonical"),
        ("http://2852039166/latest", "no picture is fetched from|cannot connect|not a canonical"),
    ],
)
async def test_unreachable_and_forbidden_hosts(url: str, words: str) -> None:
    """A host that cannot or must not be reached is an error of that picture, soon."""
    started = time.monotonic()
    with pytest.raises(ImageFetchError, match=words):
        await fetch(url, image_timeout=10)
    assert time.monotonic() - started < 10


async def test_inline_picture_counts_against_the_limit() -> None:
    """A data: URI is no way around the size limit."""
    with pytest.raises(ImageFetchError, match="over the limit of 3 bytes"):
        await fetch("data:,abcd", image_max_bytes=3)


async def test_user_and_password_in_the_address_are_sent(pictures: PictureServer) -> None:
    """``http://user:pass@host/`` asks with basic authentication."""
    url = pictures.add("/a.jpg", PICTURE).replace("http://", "http://me:pw@")
    await fetch(url)
    assert pictures.headers_of("/a.jpg")["Authorization"] == "Basic bWU6cHc="


async def test_upload_is_asked_for_with_the_token(label_studio: PictureServer) -> None:
    """Label Studio gives uploads only to those who show a token."""
    label_studio.add("/data/upload/1/a.jpg", PICTURE)
    await fetch("/data/upload/1/a.jpg", label_studio_url=label_studio.url, label_studio_api_key="t0ken")
    assert label_studio.headers_of("/data/upload/1/a.jpg")["Authorization"] == "Token t0ken"


async def test_token_goes_to_nobody_else(label_studio: PictureServer, pictures: PictureServer) -> None:
    """Neither a stranger's URL nor a redirect away from Label Studio sees the token; a redirect back to it does."""
    stranger = pictures.add("/s.jpg", PICTURE)
    back = pictures.add("/back.jpg", Answer(status=302, headers={"Location": label_studio.add("/home.jpg", PICTURE)}))
    label_studio.add("/data/upload/1/a.jpg", Answer(status=303, headers={"Location": stranger}))
    for task in ("/data/upload/1/a.jpg", stranger, back):
        await fetch(task, label_studio_url=label_studio.url, label_studio_api_key="t0ken")
    assert all("Authorization" not in headers for _, headers in pictures.requests)
    assert label_studio.headers_of("/home.jpg")["Authorization"] == "Token t0ken"


async def test_label_studio_is_exempt_from_the_address_guard(
    label_studio: PictureServer, pictures: PictureServer
) -> None:
    """Its address comes from the operator, not from a task."""
    label_studio.add("/data/upload/1/a.jpg", PICTURE)
    closed = {"label_studio_url": label_studio.url, "blocked_networks": "127.0.0.0/8"}
    assert await fetch("/data/upload/1/a.jpg", **closed) == PICTURE
    with pytest.raises(ImageFetchError, match="no picture is fetched from"):
        await fetch(pictures.add("/a.jpg", PICTURE), **closed)


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "set LABEL_STUDIO_API_KEY"), ("wrong", "it refuses the token")],
)
async def test_refusal_by_label_studio_names_the_setting(
    label_studio: PictureServer, token: str | None, words: str
) -> None:
    """401 from Label Studio is about one setting, and the message says which."""
    label_studio.add("/data/upload/1/a.jpg", Answer(status=401))
    with pytest.raises(ImageFetchError, match=words) as caught:
        await fetch("/data/upload/1/a.jpg", label_studio_url=label_studio.url, label_studio_api_key=token)
    assert "wrong" not in str(caught.value)


async def test_picture_of_an_unknown_label_studio_names_the_settings() -> None:
    """Without its address neither path nor cloud storage URI can be resolved."""
    for value in ("/data/upload/1/a.jpg", "s3://bucket/a.jpg"):
        with pytest.raises(ImageReferenceError, match="set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
            await fetch(value)


@pytest.mark.parametrize("prefix", ["", "/prefix"])
@pytest.mark.parametrize("path", ["/data/upload/1/a.jpg", "/prefix/data/upload/1/a.jpg"])
async def test_label_studio_below_a_path_prefix(label_studio: PictureServer, prefix: str, path: str) -> None:
    """Tasks hold paths with or without the prefix; it is neither lost nor doubled."""
    expected = path if not prefix or path.startswith(prefix) else prefix + path
    label_studio.add(expected, PICTURE)
    assert await fetch(path, label_studio_url=label_studio.url + prefix) == PICTURE


async def test_cloud_storage_is_resolved_by_label_studio(label_studio: PictureServer, pictures: PictureServer) -> None:
    """By redirect to a signed address, which sees no token, or with the bytes themselves."""
    uri = "s3://bucket/dir/k ey-ü.jpg"
    path = f"/tasks/7/presign/?fileuri={base64.urlsafe_b64encode(uri.encode()).decode()}"
    signed = pictures.add("/signed.jpg", PICTURE) + "?X-Amz-Signature=a%2Fb"
    access = {"label_studio_url": label_studio.url, "label_studio_api_key": "t0ken"}
    label_studio.add("/tasks/7/presign/", Answer(status=303, headers={"Location": signed}))
    assert await fetch(uri, **access) == PICTURE
    assert label_studio.requests[-1][0] == path
    assert "Authorization" not in pictures.headers_of("/signed.jpg?X-Amz-Signature=a%2Fb")
    label_studio.add("/tasks/7/presign/", PICTURE)
    assert await fetch(uri, **access) == PICTURE


@pytest.mark.parametrize("task", ["../../api/users/1?x=", None, "7", 1.5])
async def test_only_whole_numbers_become_part_of_a_resolvers_address(label_studio: PictureServer, task: object) -> None:
    """It is asked with the token, and ids come from whoever posts tasks."""
    settings = load_settings(label_studio_url=label_studio.url)
    async with ImageFetcher(settings) as fetcher:
        with pytest.raises(ImageReferenceError, match="whole number"):
            await fetcher.fetch(parse_reference("s3://b/a.jpg"), LabelStudios(settings).configured, task)
    assert not label_studio.requests


async def test_user_in_an_address_of_label_studio_gives_way_to_the_token(label_studio: PictureServer) -> None:
    """Both at once cannot be sent."""
    label_studio.add("/data/upload/1/a.jpg", PICTURE)
    task = label_studio.url.replace("http://", "http://me:pw@") + "/data/upload/1/a.jpg"
    await fetch(task, label_studio_url=label_studio.url, label_studio_api_key="t0ken")
    assert label_studio.headers_of("/data/upload/1/a.jpg")["Authorization"] == "Token t0ken"


async def test_aliases_lead_to_what_can_be_reached(label_studio: PictureServer) -> None:
    """What Label Studio believes to be its address is replaced, and then it is Label Studio, token and all."""
    label_studio.add("/data/local-files/", PICTURE)
    believed = "http://label-studio.example:8080"
    task = f"{believed}/data/local-files/?d=a.jpg"
    await fetch(
        task,
        label_studio_url=label_studio.url,
        label_studio_api_key="t0ken",
        url_aliases=f"{believed}={label_studio.url}",
    )
    assert label_studio.headers_of("/data/local-files/?d=a.jpg")["Authorization"] == "Token t0ken"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/data/local-files/?d=a.jpg", 403, "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED"),
        ("/data/local-files/?d=a.jpg", 404, "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED"),
        ("/data/upload/1/a.jpg", 403, "may not see this project"),
        ("s3://bucket/a.jpg", 404, "no storage of the project holds it"),
    ],
)
async def test_label_studios_other_refusals_say_what_to_change(
    label_studio: PictureServer, path: str, status: int, words: str
) -> None:
    """Each is about a setting of Label Studio's own."""
    for served in ("/data/local-files/", "/data/upload/1/a.jpg", "/tasks/7/presign/"):
        label_studio.add(served, Answer(status=status))
    with pytest.raises(ImageFetchError, match=words):
        await fetch(path, label_studio_url=label_studio.url, label_studio_api_key="t0ken")


async def test_cookies_of_strangers_are_not_kept(pictures: PictureServer) -> None:
    """What one task's host sets does not come back with another task's picture."""
    url = pictures.add("/a.jpg", Answer(PICTURE, headers={"Set-Cookie": "id=1"}))
    for settings in (Settings(), load_settings(label_studio_url=pictures.url)):
        async with ImageFetcher(settings) as fetcher:
            for _ in range(2):
                await fetcher.fetch(parse_reference(url), LabelStudios(settings).configured)
        assert "Cookie" not in pictures.headers_of("/a.jpg")
