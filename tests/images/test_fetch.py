import asyncio
import base64
import gzip
import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from picture_server import Answer, PictureServer, picture_server
from waiting import until

from ml_backend.errors import (
    ImageDecodeError,
    ImageFetchError,
    ImageReferenceError,
    NotAnImageError,
    PrelabelError,
    TokenRefusedError,
)
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.fetched import Fetched
from ml_backend.images.references import parse_reference
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.settings import Settings, load_settings

PICTURE = bytes(range(256)) * 100


async def fetch_whole(value: object, **settings: Any) -> Fetched:
    """Fetch the picture that a task names, with some settings."""
    given = load_settings(**settings)
    async with ImageFetcher.from_settings(given) as fetcher:
        fetched = await fetcher.fetch(parse_reference(value), LabelStudios.from_settings(given).configured, 7)
        assert fetched is not None
        assert fetched.version.digest == hashlib.sha256(fetched.data).hexdigest()
        return fetched


async def fetch(value: object, **settings: Any) -> bytes:
    """Return the bytes of :func:`fetch_whole`."""
    return (await fetch_whole(value, **settings)).data


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
        (Answer(PICTURE, announced=len(PICTURE) + 10), "ended too early"),
        (Answer(b"x", announced=10**9), "over the limit of 50,000 bytes"),
        (Answer(b"x" * 60_000, announced=-1), "over the limit of 50,000 bytes"),
        (Answer(gzip.compress(b"x" * 10**7), headers={"Content-Encoding": "gzip"}), "over the limit of 50,000 bytes"),
        (Answer(b"not gzip", headers={"Content-Encoding": "gzip"}), "cannot be fetched"),
        (Answer(PICTURE, held=True), "did not arrive within 0.5 s"),
        (Answer(status=302, headers={"Location": "/loop"}), "redirects more than 5 times"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "not http"),
        (Answer(status=302, headers={"Location": "http://169.254.169.254/latest"}), "no image is fetched from"),
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


async def test_only_the_caller_limits_the_number_of_downloads(pictures: PictureServer) -> None:
    """PRELABEL_MAX_CONCURRENT_IMAGES limits them, up to 1024; aiohttp's own limit of 100 connections is off."""
    url = pictures.add("/a.jpg", Answer(PICTURE, held=True))
    async with ImageFetcher.from_settings(Settings()) as fetcher:
        downloads = [asyncio.create_task(fetcher.fetch(parse_reference(f"{url}?{number}"))) for number in range(110)]
        await until(lambda: len(pictures.requests) == len(downloads))
        pictures.release()
        assert all(await asyncio.gather(*downloads))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/a.jpg", r"cannot connect to 127.0.0.1:1 \(Connection refused\)"),
        ("http://no-such-host.invalid/a.jpg", "cannot connect to no-such-host.invalid:80"),
        ("http://169.254.169.254/latest/meta-data", "no image is fetched from"),
        ("http://[::ffff:169.254.169.254]/latest", "no image is fetched from"),
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
    assert await fetch("data:,abc", image_max_bytes=3) == b"abc"
    with pytest.raises(ImageReferenceError, match="not valid base64"):
        await fetch("data:;base64,@@@")


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
    """Neither a stranger's URL nor a redirect away from Label Studio sees the token; a redirect back to a picture of it does."""
    stranger = pictures.add("/s.jpg", PICTURE)
    home = label_studio.add("/data/upload/1/b.jpg", PICTURE)
    back = pictures.add("/back.jpg", Answer(status=302, headers={"Location": home}))
    label_studio.add("/data/upload/1/a.jpg", Answer(status=303, headers={"Location": stranger}))
    for task in ("/data/upload/1/a.jpg", stranger, back):
        await fetch(task, label_studio_url=label_studio.url, label_studio_api_key="t0ken")
    assert all("Authorization" not in headers for _, headers in pictures.requests)
    assert label_studio.headers_of("/data/upload/1/b.jpg")["Authorization"] == "Token t0ken"


AIMED = [
    pytest.param("/api/users", id="API"),
    pytest.param("/api/data/upload/1/a.jpg", id="API, ends as a picture"),
    pytest.param("/projects/1/export?exportType=JSON&x=/data/upload/1/a.jpg", id="export"),
    pytest.param("/data/upload/../../api/users", id="dots"),
    pytest.param("/data/upload/%2e%2e/%2e%2e/api/users", id="encoded dots"),
    pytest.param("/data/upload/%252e%252e/%252e%252e/api/users", id="dots encoded twice"),
    pytest.param("/data/upload/..%5c..%5capi/users", id="encoded backslashes"),
    pytest.param("/data/upload\\..\\..\\api\\users", id="backslashes"),
    pytest.param("/data/upload/..;/..;/api/users", id="dots with parameters"),
    pytest.param("//data/upload/1/a.jpg", id="double slash"),
    pytest.param("/data/../api/users?/data/upload/1/ü.jpg", id="dots in an address with letters beyond ASCII"),
    pytest.param("/tasks/7/presign/?fileuri=czM6Ly9iL2E", id="resolver of the same task"),
    pytest.param("/tasks/8/resolve/?fileuri=czM6Ly9iL2E", id="resolver of another task"),
]


@pytest.mark.parametrize("path", AIMED)
@pytest.mark.parametrize("way", ["absolute", "redirect", "redirect of a stranger", "resolved"])
async def test_task_cannot_aim_the_token(
    label_studio: PictureServer, pictures: PictureServer, path: str, way: str
) -> None:
    """With it, every path of Label Studio would answer as the operator's; a task gets only pictures that way."""
    aimed = label_studio.url + path
    there = Answer(status=302, headers={"Location": aimed.replace("ü", "%C3%BC")})
    task = {
        "absolute": aimed,
        "redirect": label_studio.add("/data/upload/1/a.jpg", there),
        "redirect of a stranger": pictures.add("/a.jpg", there),
        "resolved": "s3://bucket/a.jpg",
    }[way]
    if way == "resolved":
        label_studio.add("/tasks/7/presign/", there)
    begun = way in {"redirect", "resolved"}
    with pytest.raises(PrelabelError):
        await fetch(task, label_studio_url=label_studio.url, label_studio_api_key="t0ken", image_timeout=10)
    shown = ["Authorization" in headers for _, headers in label_studio.requests]
    assert shown == [True] * begun + [False] * (len(shown) - begun)


async def test_task_that_aims_elsewhere_learns_which_paths_get_the_token(label_studio: PictureServer) -> None:
    """It may be a mistake; it is not taken for a token that is refused, which would end a bulk job."""
    url = label_studio.add("/static/a.jpg", Answer(status=401))
    with pytest.raises(ImageFetchError, match="the token is sent for /data/upload/") as caught:
        await fetch(url, label_studio_url=label_studio.url, label_studio_api_key="t0ken")
    assert not isinstance(caught.value, TokenRefusedError)
    assert await fetch(label_studio.add("/static/b.jpg", PICTURE), label_studio_url=label_studio.url) == PICTURE


async def test_label_studio_of_setup_shows_its_token_to_pictures_only(label_studio: PictureServer) -> None:
    """It is a person's token."""
    settings = Settings()
    studios = LabelStudios.from_settings(settings)
    studios.learn("7", label_studio.url, "t0ken")
    for path in ("/data/upload/1/a.jpg", "/api/users"):
        url = label_studio.add(path, PICTURE)
        async with ImageFetcher.from_settings(settings) as fetcher:
            await fetcher.fetch(parse_reference(url), studios.of("7"))
    assert ["Authorization" in headers for _, headers in label_studio.requests] == [True, False]


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, False), (404, False), (500, False)])
async def test_token_that_label_studio_refuses_is_known_to_be_refused(
    label_studio: PictureServer, status: int, refused: bool
) -> None:
    """Only then another one may replace it; and one picture that it lets pass makes it good again."""
    settings = Settings()
    studios = LabelStudios.from_settings(settings)
    studios.learn("7", label_studio.url, "t0ken")
    home = studios.of("7")
    assert home is not None
    assert home.headers is not None
    async with ImageFetcher.from_settings(settings) as fetcher:
        label_studio.add("/data/upload/1/a.jpg", Answer(status=status))
        with pytest.raises(ImageFetchError):
            await fetcher.fetch(parse_reference("/data/upload/1/a.jpg"), home)
        assert home.headers.refused == refused
        label_studio.add("/data/upload/1/a.jpg", PICTURE)
        await fetcher.fetch(parse_reference("/data/upload/1/a.jpg"), home)
        assert not home.headers.refused


async def test_label_studio_is_exempt_from_the_address_guard(
    label_studio: PictureServer, pictures: PictureServer
) -> None:
    """Its address comes from the operator, not from a task."""
    label_studio.add("/data/upload/1/a.jpg", PICTURE)
    closed = {"label_studio_url": label_studio.url, "blocked_networks": "127.0.0.0/8"}
    assert await fetch("/data/upload/1/a.jpg", **closed) == PICTURE
    with pytest.raises(ImageFetchError, match="no image is fetched from"):
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
    assert label_studio.headers_of(path)["Authorization"] == "Token t0ken"
    assert "Authorization" not in pictures.headers_of("/signed.jpg?X-Amz-Signature=a%2Fb")
    label_studio.add("/tasks/7/presign/", PICTURE)
    assert await fetch(uri, **access) == PICTURE


@pytest.mark.parametrize("task", ["../../api/users/1?x=", None, "7", 1.5, True, 0, -1, 10**30])
async def test_only_positive_whole_numbers_become_part_of_a_resolvers_address(
    label_studio: PictureServer, task: object
) -> None:
    """It is asked with the token, and ids come from whoever posts tasks."""
    settings = load_settings(label_studio_url=label_studio.url)
    async with ImageFetcher.from_settings(settings) as fetcher:
        with pytest.raises(ImageReferenceError, match="positive whole number"):
            await fetcher.fetch(parse_reference("s3://b/a.jpg"), LabelStudios.from_settings(settings).configured, task)
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
        ("/data/upload/1/a.jpg", 403, "has no access to this project"),
        ("s3://bucket/a.jpg", 404, "no storage of the project has it"),
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
        async with ImageFetcher.from_settings(settings) as fetcher:
            for _ in range(2):
                await fetcher.fetch(parse_reference(url), LabelStudios.from_settings(settings).configured)
        assert "Cookie" not in pictures.headers_of("/a.jpg")


SPELLINGS = [
    pytest.param("127.0.0.1", id="dotted decimal"),
    pytest.param("0x7f000001", id="hexadecimal"),
    pytest.param("0x7f.0x0.0x0.0x1", id="hexadecimal parts"),
    pytest.param("0x7f.1", id="hexadecimal and short"),
    pytest.param("localhost", id="name"),
    pytest.param("LOCALHOST", id="name in capitals"),
    pytest.param("127。0。0。1", id="ideographic full stops"),
    pytest.param("①②⑦.0.0.1", id="circled digits"),
    pytest.param("me:pw@127.0.0.1", id="user and password"),
    pytest.param("93.184.216.34:80@127.0.0.1", id="a host as user and password"),
    pytest.param("[::ffff:127.0.0.1]", id="IPv4-mapped"),
    pytest.param("[::ffff:7f00:1]", id="IPv4-mapped, hexadecimal"),
    pytest.param("[0:0:0:0:0:ffff:7f00:0001]", id="IPv4-mapped, in full"),
]

# aiohttp itself refuses these, whichever host they mean.
NOT_CANONICAL = [
    pytest.param("2130706433", id="decimal"),
    pytest.param("0177.0.0.01", id="octal parts"),
    pytest.param("017700000001", id="octal"),
    pytest.param("127.1", id="two parts"),
    pytest.param("127.0.1", id="three parts"),
    pytest.param("0", id="zero"),
    pytest.param("2852039166", id="metadata service, decimal"),
    pytest.param("0251.0376.0251.0376", id="metadata service, octal"),
]

CLOSED = [
    pytest.param({"blocked_networks": "127.0.0.0/8,::1/128"}, id="blocked"),
    pytest.param({"public_addresses_only": True}, id="public addresses only"),
]


def with_host(url: str, host: str) -> str:
    """Return the URL of a picture server with another spelling of its host."""
    return url.replace("127.0.0.1", host)


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("settings", CLOSED)
async def test_no_spelling_gets_past_the_guard(pictures: PictureServer, host: str, settings: dict[str, Any]) -> None:
    """Each leads to the server where nothing is closed; nothing is asked where something is, by a redirect neither."""
    url = with_host(pictures.add("/a.jpg", PICTURE), host)
    assert await fetch(url) == PICTURE
    pictures.requests.clear()
    with pytest.raises(ImageFetchError, match="no image is fetched from"):
        await fetch(url, **settings)
    assert not pictures.requests


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("settings", CLOSED)
async def test_no_redirect_gets_past_the_guard(
    label_studio: PictureServer, pictures: PictureServer, host: str, settings: dict[str, Any]
) -> None:
    """Also not one of Label Studio, which is exempt itself."""
    url = with_host(pictures.add("/a.jpg", PICTURE), host.encode("idna").decode())
    label_studio.add("/data/upload/1/a.jpg", Answer(status=302, headers={"Location": url}))
    with pytest.raises(ImageFetchError, match="no image is fetched from"):
        await fetch("/data/upload/1/a.jpg", label_studio_url=label_studio.url, **settings)
    assert not pictures.requests


@pytest.mark.parametrize("host", NOT_CANONICAL)
async def test_numbers_that_are_no_canonical_address_are_refused(pictures: PictureServer, host: str) -> None:
    """Directly and by a redirect."""
    away = with_host(pictures.add("/a.jpg", PICTURE), host)
    for url in (away, pictures.add("/b.jpg", Answer(status=302, headers={"Location": away}))):
        with pytest.raises(ImageFetchError, match="not a canonical IPv4 address"):
            await fetch(url)
    assert [path for path, _ in pictures.requests] == ["/b.jpg"]


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "0xA9FEA9FE",
        "0xa9.254.43518",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to listen on
        "[::]",
    ],
)
async def test_metadata_services_are_never_asked(pictures: PictureServer, host: str) -> None:
    """In any spelling, directly or by a redirect, whatever is allowed."""
    away = f"http://{host}:80/latest"
    redirects = pictures.add("/a.jpg", Answer(status=302, headers={"Location": away}))
    for url in (away, redirects):
        with pytest.raises(ImageFetchError, match="no image is fetched from"):
            await fetch(url, allowed_networks="0.0.0.0/0,::/0")


async def test_name_that_resolves_differently_the_second_time(
    pictures: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard sees the address of each connection, so a name that was good once is nothing to it."""
    resolve = socket.getaddrinfo
    addresses = {"rebinding.example": "127.0.0.1"}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **more: resolve(addresses.get(host, host), *args, **more)
    )
    url = with_host(pictures.add("/a.jpg", PICTURE), "rebinding.example")
    assert await fetch(url) == PICTURE
    addresses["rebinding.example"] = "169.254.169.254"
    with pytest.raises(ImageFetchError, match="no image is fetched from"):
        await fetch(url)
    assert len(pictures.requests) == 1


async def test_allowed_network_is_exempt_from_public_addresses_only(pictures: PictureServer) -> None:
    """One private network with the pictures of the project."""
    url = pictures.add("/a.jpg", PICTURE)
    assert await fetch(url, public_addresses_only=True, allowed_networks="127.0.0.0/8") == PICTURE


async def test_label_studio_is_exempt_from_public_addresses_only(label_studio: PictureServer) -> None:
    """It is mostly in the same private network."""
    label_studio.add("/data/upload/1/a.jpg", PICTURE)
    private = {"label_studio_url": label_studio.url, "public_addresses_only": True}
    assert await fetch("/data/upload/1/a.jpg", **private) == PICTURE
    with pytest.raises(ImageFetchError, match="no image is fetched from"):
        await fetch(label_studio.add("/metrics", PICTURE), **private)


def told(error: PrelabelError) -> tuple[int, str, str]:
    """Return all that strangers get of an error."""
    return error.status, error.code, error.public


def untold(url: str) -> tuple[int, str, str]:
    """Return what they get of each picture that could not be had from a stranger's host."""
    return 502, "image_not_fetched", f"{url} could not be fetched as an image; the log of Prelabel says why"


FAILURES = [
    pytest.param(Answer(status=401), "answered 401", id="not without credentials"),
    pytest.param(Answer(status=404), "answered 404 Not Found", id="not found"),
    pytest.param(Answer(status=500), "answered 500", id="server error"),
    pytest.param(Answer(b""), "without a body", id="empty"),
    pytest.param(Answer(PICTURE, announced=len(PICTURE) + 10), "ended too early", id="connection breaks"),
    pytest.param(Answer(b"x" * 60_000), "over the limit", id="too large"),
    pytest.param(Answer(PICTURE, delay=1.5), "did not arrive", id="slow"),
    pytest.param(Answer(status=302, headers={"Location": "/a.jpg"}), "redirects more than", id="redirects in a circle"),
    pytest.param(Answer(status=302, headers={"Location": "file:///etc"}), "not http", id="redirects to a file"),
    pytest.param(
        Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}), "cannot connect", id="to a closed port"
    ),
    pytest.param(Answer(status=302, headers={"Location": "http://a.invalid"}), "cannot connect", id="to no host"),
    pytest.param(Answer(status=302, headers={"Location": "http://[::]"}), "no image is", id="to a blocked address"),
]


@pytest.mark.parametrize(("answer", "words"), FAILURES)
async def test_strangers_learn_nothing_of_other_hosts(pictures: PictureServer, answer: Answer, words: str) -> None:
    """One text, code and status for all causes, which only the log tells; else the network could be probed by them."""
    url = pictures.add("/a.jpg", answer)
    with pytest.raises(ImageFetchError, match=words) as caught:
        await fetch(url, image_max_bytes=50_000, image_timeout=1)
    assert told(caught.value) == untold(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://127.0.0.1:1/a.jpg", "Connection refused", id="closed port"),
        pytest.param("http://no-such-host.invalid/a.jpg", "cannot connect", id="no such host"),
        pytest.param("http://169.254.169.254/a.jpg", "no image is fetched from", id="blocked"),
    ],
)
async def test_strangers_learn_nothing_of_hosts_that_do_not_answer(url: str, words: str) -> None:
    """The same text as for those that do."""
    with pytest.raises(ImageFetchError, match=words) as caught:
        await fetch(url)
    assert told(caught.value) == untold(url)


@pytest.mark.parametrize(("answer", "words"), FAILURES)
async def test_strangers_learn_nothing_by_a_redirect_of_label_studio(
    label_studio: PictureServer, pictures: PictureServer, answer: Answer, words: str
) -> None:
    """Whoever can add a storage to a project chooses where it leads."""
    label_studio.add("/tasks/7/presign/", Answer(status=303, headers={"Location": pictures.add("/a.jpg", answer)}))
    with pytest.raises(ImageFetchError, match=words) as caught:
        await fetch("s3://bucket/a.jpg", label_studio_url=label_studio.url, image_max_bytes=50_000, image_timeout=1)
    assert told(caught.value) == untold("s3://bucket/a.jpg")


PERSONAL = "a." + base64.urlsafe_b64encode(b'{"token_type": "refresh"}').decode().rstrip("=") + ".c"


@pytest.mark.parametrize("token", [None, "t0ken", PERSONAL])
@pytest.mark.parametrize("status", [401, 404, 500])
async def test_strangers_learn_nothing_of_a_label_studio_that_a_request_named(
    label_studio: PictureServer, token: str | None, status: int
) -> None:
    """It may be any service of the internal network; not even a refused token has a code of its own."""
    for path in ("/data/upload/1/a.jpg", "/api/token/refresh/"):
        label_studio.add(path, Answer(status=status))
    studios = LabelStudios.from_settings(Settings())
    studios.learn("7", label_studio.url, token)
    async with ImageFetcher.from_settings(Settings()) as fetcher:
        with pytest.raises(ImageFetchError, match=f"answered {status}") as caught:
            await fetcher.fetch(parse_reference("/data/upload/1/a.jpg"), studios.of("7"))
    assert told(caught.value) == untold("/data/upload/1/a.jpg")


@pytest.mark.parametrize(("answer", "words"), FAILURES[:7])
async def test_all_is_told_of_the_operators_label_studio(
    label_studio: PictureServer, answer: Answer, words: str
) -> None:
    """Annotators need the hints, and it is no secret."""
    label_studio.add("/data/upload/1/a.jpg", answer)
    with pytest.raises(ImageFetchError, match=words) as caught:
        await fetch("/data/upload/1/a.jpg", label_studio_url=label_studio.url, image_max_bytes=50_000, image_timeout=1)
    assert caught.value.public == str(caught.value)


async def test_strangers_do_not_learn_what_came_instead_of_an_image(
    label_studio: PictureServer, pictures: PictureServer
) -> None:
    """Its kind and first bytes are told only where the operator's Label Studio sent it, and to the log."""
    page = NotAnImageError("it is an HTML page")
    path, url = label_studio.add("/data/upload/1/a.jpg", b"<html>"), pictures.add("/a.jpg", b"<html>")
    other = label_studio.add("/metrics", b"<html>")
    for task, is_told in ((path, True), (url, False), (other, False), ("data:,<html>", True)):
        reference = parse_reference(task)
        fetched = await fetch_whole(task, label_studio_url=label_studio.url)
        failure = fetched.failure(reference, page)
        assert str(failure) == f"{reference}: it is an HTML page"
        assert told(failure) == ((422, "image_not_readable", str(failure)) if is_told else untold(task))
        assert not failure.retryable
        broken = fetched.failure(reference, ImageDecodeError("the image is broken"))
        assert (type(broken), broken.public) == (ImageDecodeError, f"{reference}: the image is broken")
