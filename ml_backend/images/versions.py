"""What tells one version of a picture at an address from the next, so that it is not transferred again while it is the same."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import msgpack
from yarl import URL

# Query parameters that sign an address for a while and say nothing of the picture: those that a scheme always has, which must all be
# there since one of them alone may name a picture on another host, and those that it may have.
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

MAX_HEADER_LENGTH = 200  # characters of a header that is kept

# Label Studio puts eight random hex digits before the name of each upload, and never writes to one again.
_UPLOAD = re.compile(r"/data/upload/\d+/[0-9a-f]{8}-[^/]+")


def canonical(url: URL) -> str:
    """Return the text of ``url``, letter by letter, without fragment and without the parameters that only sign it."""
    address, _, query = str(url.with_fragment(None)).partition("?")
    present = {name.lower(): value for name, value in url.query.items()}
    for always, signing in _SIGNING:
        if always <= present.keys() and ("sv" not in always or _STORAGE_VERSION.fullmatch(present["sv"])):
            query = "&".join(part for part in query.split("&") if part.partition("=")[0].lower() not in signing)
            break
    return f"{address}?{query}" if query else address


def named(url: URL) -> str:
    """Return what stands for the canonical address of ``url`` where it is kept: a hash, since addresses can hold passwords."""
    return hashlib.sha256(canonical(url).encode("utf-8", "backslashreplace")).hexdigest()


def is_final(path: str) -> bool:
    """Tell whether Label Studio never changes what is at a path of its own."""
    return _UPLOAD.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """One version of the picture at an address.

    Attributes:
        digest: SHA-256 of its bytes, 64 hex digits.
        final: whether the address will never have another version.
        source: who sent it, after redirects, by :func:`named`: nobody else's word on it counts.
        etag: what that server called this version, or empty.
        last_modified: when it changed there, as the server wrote it, or empty.
    """

    digest: str
    final: bool = False
    source: str = ""
    etag: str = ""
    last_modified: str = ""

    @property
    def can_be_asked_for(self) -> bool:
        """Whether it can be found out, or is known, if the picture is still this version."""
        return self.final or bool(self.etag or self.last_modified)

    def conditions(self, url: URL) -> dict[str, str]:
        """Return the headers that ask ``url`` for the picture only if it has changed; none where another server spoke of it."""
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
            raise ValueError(f"not an encoded picture version: {error!r}") from error
        if types != [str, bool, str, str, str]:
            raise ValueError(f"not an encoded picture version: its fields are {types}")
        return cls(*fields)


def validators(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return what an answer says of its version: ETag and Last-Modified, each empty where it says nothing that can be relied on or sent back.

    RFC 9110, 8.8.2.2: a picture that changed in the very second in which it was sent may change once more in that second.
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
