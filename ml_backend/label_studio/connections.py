"""Where Label Studio is, what it calls its own, and the token for it."""

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
    """Tell whether two URLs lead to one server: same scheme, host and port, default ports filled in, loopback names as one."""
    return (one.scheme, _host(one), one.port) == (other.scheme, _host(other), other.port)


def _host(url: URL) -> str:
    host = (url.host or "").lower()
    return "localhost" if host in _LOOPBACK else host


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """One Label Studio, as it can be reached from here.

    Attributes:
        url: its base address without a slash at the end; may have a path prefix.
        headers: gives the token's header; None where no token is known.
        trusted: whether the operator named it. One that only a request named gets its pictures under the address guard.
        known_as: further addresses that it believes to be its own, to be replaced by ``url``.
        shared_across_projects: whether the token is the operator's, so that what it can see, every project may.
    """

    url: str
    headers: TokenHeaders | None = field(repr=False)
    trusted: bool = True
    known_as: tuple[str, ...] = ()
    shared_across_projects: bool = False

    def is_home(self, url: URL) -> bool:
        """Tell whether ``url`` leads to the host of this Label Studio."""
        return same_host(url, URL(self.url))

    def serves(self, url: URL) -> bool:
        """Tell whether ``url`` is that of a picture that this Label Studio keeps, so that the token may be shown there.

        The rest of its addresses are none of a task's business: with the token, they would answer as the operator's.
        """
        return is_image_path(self.path_of(url))

    def at(self, path: str) -> str:
        """Return the full address of a path such as ``/data/upload/1/a.jpg``, which may or may not repeat the path prefix."""
        prefix = urlsplit(self.url).path
        if prefix and path.startswith(prefix + "/"):
            path = path.removeprefix(prefix)
        return self.url + path

    def path_of(self, url: URL) -> str:
        """Return the path of ``url`` within this Label Studio, decoded and without its path prefix.

        It is empty where ``url`` leads elsewhere, or where servers may read it differently: see :func:`plain_path`.
        """
        prefix = unquote(urlsplit(self.url).path)
        path = plain_path(url.raw_path) if self.is_home(url) else None
        return path.removeprefix(prefix) if path is not None and path.startswith(f"{prefix}/") else ""

    def resolver_of(self, uri: str, task_id: int) -> str:
        """Return the address at which Label Studio resolves a cloud storage URI of one of its tasks.

        It answers with a redirect to a signed address or with the bytes, as the storage is set up (``presign``).
        """
        encoded = base64.urlsafe_b64encode(uri.encode()).decode()
        return f"{self.url}/tasks/{task_id}/presign/?fileuri={encoded}"


def readdress(url: str, aliases: Mapping[str, str]) -> str:
    """Replace the beginning of ``url`` that is one of ``aliases`` by what stands for it.

    Hosts are compared as :func:`same_host` does, paths part by part; the rest stays letter by letter.
    """
    rest = url.partition("//")[2][len(urlsplit(url).netloc) :]
    for believed, reachable in aliases.items():
        prefix = urlsplit(believed).path
        below = rest.startswith(prefix) and (len(rest) == len(prefix) or rest[len(prefix)] in "/?#")
        if below and same_host(URL(url, encoded=True), URL(believed)):
            return reachable + rest[len(prefix) :]
    return url


class LabelStudios:
    """The Label Studio of each project: the configured one, else the one that the project's first ``/setup`` named.

    Anybody who reaches the port can send a ``/setup``. So the configured token goes to the configured address only, and nothing
    that is known of a project is replaced by another host's word.
    """

    KEPT = 10_000  # projects
    MAX_LENGTH = 8192  # characters of a name, an address or a token

    def __init__(self, configured: LabelStudio | None, url_aliases: Mapping[str, str]) -> None:
        self.configured = configured
        self._aliases = url_aliases
        self._by_project: dict[str, LabelStudio] = {}
        self._first_by_id: dict[str, str] = {}
        self._warned: set[str] = set()  # projects; the empty name stands for the full table

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the Label Studios where that of ``LABEL_STUDIO_URL`` is configured."""
        url, key = settings.label_studio_url, settings.label_studio_api_key
        headers = TokenHeaders(url, key.get_secret_value()) if url and key else None
        configured = LabelStudio(url, headers, shared_across_projects=headers is not None) if url else None
        return cls(configured, settings.url_aliases)

    def learn(self, project: str, hostname: Any, access_token: Any) -> None:
        """Remember the Label Studio that ``/setup`` names for a project, unless another one is known for it.

        A new token of the known one is taken where there is none, or where that Label Studio has refused it.

        Args:
            project: as requests name it.
            hostname: base address; everything but an http(s) address is passed over.
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
                "a request names another Label Studio for a project than the first one did, and is passed over; if it has moved, "
                "restart Prelabel, or set LABEL_STUDIO_URL",
                known=redact_address(known.known_as[0]),
                named=redact_address(hostname),
            )
        elif token and (known.headers is None or known.headers.gives_way_to(token)):
            self._by_project[project] = self._named(hostname, token)

    def _add(self, project: str, hostname: str, token: str) -> None:
        if len(self._by_project) >= self.KEPT:
            self._warn("", f"{self.KEPT:,} projects are known, so the Label Studio of further ones is not remembered")
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
        """Return the Label Studio of a project, or None where none is known.

        Args:
            project: as requests name it, ``<id>.<time of creation>``; by the id alone, it is the one that spoke first.
        """
        name = project or ""
        return self._by_project.get(self._first_by_id.get(name, name), self.configured)
