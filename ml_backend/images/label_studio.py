"""Where Label Studio is, what it calls its own, and the token for it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from yarl import URL

from ml_backend.images.references import CloudReference, ImageReference, StorageReference
from ml_backend.images.tokens import TokenHeaders
from ml_backend.setting_values import base_url
from ml_backend.settings import Settings

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
        everybodys: whether the token is the operator's, so that what it can see, every project may.
    """

    url: str
    headers: TokenHeaders | None = field(repr=False)
    trusted: bool = True
    known_as: tuple[str, ...] = ()
    everybodys: bool = False

    def is_home(self, url: URL) -> bool:
        """Tell whether ``url`` leads to this Label Studio, so that the token may be shown there."""
        return same_host(url, URL(self.url))

    def at(self, path: str) -> str:
        """Return the full address of a path such as ``/data/upload/1/a.jpg``, which may or may not repeat the path prefix."""
        prefix = urlsplit(self.url).path
        if prefix and path.startswith(prefix + "/"):
            path = path.removeprefix(prefix)
        return self.url + path

    def path_of(self, url: URL) -> str:
        """Return the path of ``url`` within this Label Studio, without its path prefix; empty where it leads elsewhere."""
        return url.path.removeprefix(urlsplit(self.url).path) if self.is_home(url) else ""

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


def readable(reference: ImageReference, home: LabelStudio | None, task: object) -> ImageReference:
    """Return a cloud reference as one that this machine reads with its own keys, unless Label Studio can resolve it by its task."""
    if isinstance(reference, CloudReference) and (home is None or not isinstance(task, int)):
        return StorageReference(reference.uri)
    return reference


class LabelStudios:
    """The Label Studio of each project: the configured one, else the one that the project's ``/setup`` named.

    What a request says is not trusted with anything of ours: the configured token goes to the configured address only.
    """

    KEPT = 1000

    def __init__(self, settings: Settings) -> None:
        url, key = settings.label_studio_url, settings.label_studio_api_key
        headers = TokenHeaders(url, key.get_secret_value()) if url and key else None
        self.configured = LabelStudio(url, headers, everybodys=headers is not None) if url else None
        self._aliases = settings.url_aliases
        self._by_project: dict[str, LabelStudio] = {}

    def learn(self, project: str, hostname: Any, access_token: Any) -> None:
        """Remember what ``/setup`` says about the Label Studio of a project; anything but an http(s) address is passed over."""
        try:
            hostname = base_url(hostname)
        except (ValueError, TypeError, AttributeError):
            return
        token = access_token if isinstance(access_token, str) and access_token else None
        if self.configured is None:
            url = readdress(hostname, self._aliases)
            learned = LabelStudio(url, TokenHeaders(url, token) if token else None, trusted=False, known_as=(hostname,))
        else:
            headers = self.configured.headers
            if headers is None and token:
                headers = TokenHeaders(self.configured.url, token)
            own = self.configured.everybodys
            learned = LabelStudio(self.configured.url, headers, known_as=(hostname,), everybodys=own)
        self._by_project.pop(project, None)  # the latest to speak is the last to be forgotten
        self._by_project[project] = learned
        while len(self._by_project) > self.KEPT:
            del self._by_project[next(iter(self._by_project))]

    def of(self, project: str | None) -> LabelStudio | None:
        """Return the Label Studio of a project, or None where none is known.

        Args:
            project: as requests name it, ``<id>.<time of creation>``; by the id alone, it is the one that spoke last.
        """
        named = project or ""
        if named.isdecimal() and named not in self._by_project:
            named = next((each for each in reversed(self._by_project) if each.partition(".")[0] == named), named)
        return self._by_project.get(named, self.configured)
