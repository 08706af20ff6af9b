"""The Label Studio of each project: its address, its image paths, and its token."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import structlog
from yarl import URL

from ml_backend.label_studio.image_paths import is_image_path, plain_path
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.label_studio.tokens import TokenHeaders
from ml_backend.redaction import printable, redact_address
from ml_backend.setting_parsers import base_url
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def same_host(one: URL, other: URL) -> bool:
    """Tell whether two URLs have the same scheme, host and port; default ports are filled in, and loopback names are equal."""
    return (one.scheme, _host(one), one.port) == (other.scheme, _host(other), other.port)


def _host(url: URL) -> str:
    host = (url.host or "").lower()
    return "localhost" if host in _LOOPBACK else host


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """One Label Studio, as this machine reaches it.

    Attributes:
        url: its base address without a slash at the end; may have a path prefix.
        headers: give the header with the token; None if no token is known.
        trusted: whether the operator configured it. The address guard checks the address of one that only a request named.
        known_as: other addresses that it gives as its own, to be replaced by ``url``.
        shared_across_projects: whether the token is the operator's, so that all projects may use each image that it gives access to.
    """

    url: str
    headers: TokenHeaders | None = field(repr=False)
    trusted: bool = True
    known_as: tuple[str, ...] = ()
    shared_across_projects: bool = False

    def has_host_of(self, url: URL) -> bool:
        """Tell whether ``url`` has the host of this Label Studio."""
        return same_host(url, URL(self.url))

    def serves(self, url: URL) -> bool:
        """Tell whether this Label Studio serves an image at ``url``, so that the token may be sent there.

        A task must not reach its other addresses with the token, since they would answer with the operator's rights.
        """
        return is_image_path(self.path_of(url))

    def url_of(self, path: str) -> str:
        """Return the URL of a path such as ``/data/upload/1/a.jpg``, which may begin with the path prefix."""
        prefix = urlsplit(self.url).path
        if prefix and path.startswith(prefix + "/"):
            path = path.removeprefix(prefix)
        return self.url + path

    def path_of(self, url: URL) -> str:
        """Return the path of ``url`` within this Label Studio, decoded and without its path prefix.

        It is empty if ``url`` has another host, or if servers may read its path differently: see :func:`plain_path`.
        """
        prefix = unquote(urlsplit(self.url).path)
        path = plain_path(url.raw_path) if self.has_host_of(url) else None
        return path.removeprefix(prefix) if path is not None and path.startswith(f"{prefix}/") else ""

    def resolver_url(self, uri: str, task_id: int) -> str:
        """Return the URL at which Label Studio resolves a cloud storage URI of one of its tasks.

        It responds with a redirect to a presigned URL or with the bytes, as the storage is configured (``presign``).
        """
        encoded = base64.urlsafe_b64encode(uri.encode()).decode()
        return f"{self.url}/tasks/{task_id}/presign/?fileuri={encoded}"


def readdress(url: str, aliases: Mapping[str, str]) -> str:
    """Replace the beginning of ``url``, if it is one of ``aliases``, by the address that this machine reaches.

    Hosts are compared by :func:`same_host`, and paths by parts; the rest of the URL stays the same, character by character.
    """
    rest = url.partition("//")[2][len(urlsplit(url).netloc) :]
    for alias, reachable in aliases.items():
        prefix = urlsplit(alias).path
        below = rest.startswith(prefix) and (len(rest) == len(prefix) or rest[len(prefix)] in "/?#")
        if below and same_host(URL(url, encoded=True), URL(alias)):
            return reachable + rest[len(prefix) :]
    return url


class LabelStudios:
    """The Label Studio of each project: the configured one, else the one that the project's first ``/setup`` named.

    Every client that reaches the port can send a ``/setup``. So the configured token goes to the configured address only, and the host
    of a known project is never replaced.

    Args:
        configured: the Label Studio of the settings, or None.
        url_aliases: addresses of Label Studio in requests, and the addresses that this machine reaches.
    """

    KEPT = 10_000  # projects
    MAX_LENGTH = 8192  # characters of a name, an address or a token

    def __init__(self, configured: LabelStudio | None, url_aliases: Mapping[str, str]) -> None:
        self.configured = configured
        self._aliases = url_aliases
        self._by_project: dict[str, LabelStudio] = {}
        self._first_by_id: dict[str, str] = {}
        self._warned: set[str] = set()  # projects; the empty name for the warning about too many

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the Label Studios where that of ``LABEL_STUDIO_URL`` is configured."""
        url, key = settings.label_studio_url, settings.label_studio_api_key
        headers = TokenHeaders(url, key.get_secret_value()) if url and key else None
        configured = LabelStudio(url, headers, shared_across_projects=headers is not None) if url else None
        return cls(configured, settings.url_aliases)

    def learn(self, project: str, hostname: Any, access_token: Any) -> None:
        """Remember the Label Studio of a project, unless another one is known for it.

        A new token for the known one is used if there is none, or if Label Studio has refused the present one.

        Args:
            project: as requests name it.
            hostname: base address; anything but an http(s) address is ignored.
            access_token: of the project's creator.
        """
        try:
            token = access_token if isinstance(access_token, str) else ""
            if max(len(project), len(hostname), len(token)) > self.MAX_LENGTH:
                return
            hostname = base_url(hostname)
        except (ValueError, TypeError, AttributeError):
            return
        known = self._by_project.get(project)
        if known is None:
            self._add(project, hostname, token)
        elif known.known_as != (hostname,):
            self._warn(
                project,
                "a request that names another Label Studio for a known project is ignored; if Label Studio has moved, restart Prelabel "
                "or set LABEL_STUDIO_URL",
                known=redact_address(known.known_as[0]),
                named=redact_address(hostname),
            )
        elif token and (known.headers is None or known.headers.gives_way_to(token)):
            self._by_project[project] = self._named(hostname, token)

    def _add(self, project: str, hostname: str, token: str) -> None:
        if len(self._by_project) >= self.KEPT:
            self._warn("", f"{self.KEPT:,} projects are known; the Label Studio of further ones is not remembered")
            return
        self._by_project[project] = self._named(hostname, token)
        number = parse_project_id(project)
        if number is not None:
            self._first_by_id.setdefault(str(number), project)

    def _named(self, hostname: str, token: str) -> LabelStudio:
        if self.configured is None:
            url = readdress(hostname, self._aliases)
            return LabelStudio(url, TokenHeaders(url, token) if token else None, trusted=False, known_as=(hostname,))
        headers = self.configured.headers
        if headers is None and token:
            headers = TokenHeaders(self.configured.url, token)
        own = self.configured.shared_across_projects
        return LabelStudio(self.configured.url, headers, known_as=(hostname,), shared_across_projects=own)

    def _warn(self, project: str, sentence: str, **details: str) -> None:
        if project not in self._warned:
            self._warned.add(project)
            log.warning(sentence, project=printable(project, 60), **details)

    def of(self, project: str | None) -> LabelStudio | None:
        """Return the Label Studio of a project, or None if none is known.

        Args:
            project: as requests name it, ``<id>.<time of creation>``. An id alone is that of the first project with this id.
        """
        name = project or ""
        return self._by_project.get(self._first_by_id.get(name, name), self.configured)
