"""Versions of the image at an address, so that an unchanged image is not transferred again."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import msgpack
from yarl import URL

# Query parameters of presigned URLs, by scheme: the required ones, which must all be present since one alone may identify an image on
# another host, and the optional ones.
_SCHEMES: tuple[tuple[str, str], ...] = (
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    (
        "x-amz-algorithm x-amz-credential x-amz-date x-amz-expires x-amz-signature x-amz-signedheaders",
        "x-amz-security-token",
    ),
    # https://cloud.google.com/storage/docs/authentication/signatures
    ("x-goog-algorithm x-goog-credential x-goog-date x-goog-expires x-goog-signature x-goog-signedheaders", ""),
    # https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html (version 2)
    ("awsaccesskeyid expires signature", "x-amz-security-token"),
    # https://cloud.google.com/storage/docs/access-control/signed-urls-v2
    ("expires googleaccessid signature", ""),
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html (canned, custom policy)
    ("expires key-pair-id signature", ""),
    ("key-pair-id policy signature", ""),
    # https://learn.microsoft.com/rest/api/storageservices/create-service-sas, and create-user-delegation-sas
    ("se sig sp sr sv", "st spr sip ses sdd skoid sktid skt ske sks skv saoid suoid scid"),
    # https://learn.microsoft.com/rest/api/storageservices/create-account-sas
    ("se sig sp srt ss sv", "st spr sip ses"),
)
_SIGNING = [(frozenset(always.split()), frozenset(f"{always} {sometimes}".split())) for always, sometimes in _SCHEMES]
_STORAGE_VERSION = re.compile(r"\d{4}-\d\d-\d\d")  # Azure's sv

MAX_HEADER_LENGTH = 200  # characters of a header value that is kept

# Label Studio puts eight random hex digits before the name of each upload, and never overwrites one.
_UPLOAD = re.compile(r"/data/upload/\d+/[0-9a-f]{8}-[^/]+")


def canonical(url: URL) -> str:
    """Return ``url``, character by character, without fragment and signing parameters."""
    address, _, query = str(url.with_fragment(None)).partition("?")
    present = {name.lower(): value for name, value in url.query.items()}
    for always, signing in _SIGNING:
        if always <= present.keys() and ("sv" not in always or _STORAGE_VERSION.fullmatch(present["sv"])):
            query = "&".join(part for part in query.split("&") if part.partition("=")[0].lower() not in signing)
            break
    return f"{address}?{query}" if query else address


def named(url: URL) -> str:
    """Return the SHA-256 of the canonical address of ``url``, which is stored in its place, since addresses can hold passwords."""
    return hashlib.sha256(canonical(url).encode("utf-8", "backslashreplace")).hexdigest()


def is_final(path: str) -> bool:
    """Tell whether Label Studio never changes the image at a path."""
    return _UPLOAD.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """One version of the image at an address.

    Attributes:
        digest: SHA-256 of its bytes, 64 hex digits.
        final: whether the address will never have another version.
        source: the address that sent it, after redirects, as :func:`named` gives it. Only that address can confirm the version.
        etag: its ETag there, or empty.
        last_modified: its Last-Modified there, or empty.
    """

    digest: str
    final: bool = False
    source: str = ""
    etag: str = ""
    last_modified: str = ""

    @property
    def can_be_asked_for(self) -> bool:
        """Whether a later request can tell, or need not ask, that the image is still this version."""
        return self.final or bool(self.etag or self.last_modified)

    def conditions(self, url: URL) -> dict[str, str]:
        """Return the headers of a conditional request to ``url``; none if another address sent this version."""
        if named(url) != self.source:
            return {}
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.last_modified} if self.last_modified else {}

    def to_bytes(self) -> bytes:
        """Encode as msgpack."""
        packed: bytes = msgpack.packb([self.digest, self.final, self.source, self.etag, self.last_modified])
        return packed

    @classmethod
    def from_bytes(cls, packed: bytes) -> "ImageVersion":
        """Decode what :meth:`to_bytes` wrote.

        Raises:
            ValueError: for anything else.
        """
        try:
            fields = msgpack.unpackb(packed)
            types = [type(field) for field in fields]
        except (msgpack.UnpackException, ValueError, TypeError) as error:
            raise ValueError(f"not an encoded image version: {error!r}") from error
        if types != [str, bool, str, str, str]:
            raise ValueError(f"not an encoded image version: its fields are {types}")
        return cls(*fields)


def validators(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return ETag and Last-Modified of a response, each empty if it is missing, unreliable or cannot be sent back.

    RFC 9110, 8.8.2.2: an image that changed in the second in which it was sent may change again in that second.
    """
    if "no-store" in _directives(headers.get("Cache-Control", "")):
        return "", ""
    modified = headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)
        reliable = age.total_seconds() >= 1
    except (ValueError, TypeError):
        reliable = False
    return _sendable(headers.get("ETag", "")), _sendable(modified) if reliable else ""


def _sendable(value: str) -> str:
    return value if value.isascii() and len(value) <= MAX_HEADER_LENGTH else ""


def _directives(cache_control: str) -> Collection[str]:
    return {part.strip().lower() for part in cache_control.split(",")}
