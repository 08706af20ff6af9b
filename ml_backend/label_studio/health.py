"""Diagnosis of the connection to Label Studio: one sentence with the problem and the setting that changes it."""

import asyncio
import json
from dataclasses import dataclass

import aiohttp
from yarl import URL

from ml_backend.errors import ImageFetchError
from ml_backend.http.bounded_body import SMALL_ANSWER, TooLargeError, read_at_most
from ml_backend.http.network_errors import network_cause
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.tokens import TokenHeaders

CHECK_SECONDS = 5

_LEGACY_REFUSED = (
    "it is a legacy token, and Label Studio 1.23 has those turned off by default: set LABEL_STUDIO_API_KEY to a personal "
    "access token (Label Studio, Account & Settings), or turn legacy tokens on in Label Studio's organization settings"
)
_OTHER_REFUSED = "copy LABEL_STUDIO_API_KEY again from Label Studio, Account & Settings"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        ok: whether it is as it should be; None where an optional part is not set up, so that nothing was checked.
        sentence: for people.
    """

    ok: bool | None
    sentence: str


def refusal_hint(response: aiohttp.ClientResponse, home: LabelStudio | None, *, kept: bool) -> str:
    """Return advice on an answer of Label Studio that is not the image, as the end of a sentence, or an empty text.

    Args:
        response: the answer, with its status and address.
        home: the Label Studio of the task.
        kept: whether that Label Studio keeps the image, so that the token was sent if there is one.
    """
    if home is None or not home.has_host_of(response.url):
        return ""
    hint = ""
    path = response.url.path
    if not kept:
        if response.status in {401, 403}:
            hint = (
                "the token is sent for /data/upload/…, /data/local-files/?d=… and /storage-data/uploaded/… below "
                f"{home.url} only, not for other paths that a task names"
            )
    elif response.status == 401:
        hint = "set LABEL_STUDIO_API_KEY" if home.headers is None else f"it refuses the token: {_advice(home.headers)}"
    elif response.status in {403, 404} and path.endswith("/data/local-files/"):
        hint = (
            "Label Studio serves local files only with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, below "
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, and from folders that the project has as local storage"
        )
    elif response.status == 404 and "/presign/" in path:
        hint = "no storage of the project has it, or the task belongs to another project"
    elif response.status == 403:
        hint = "the user of the token has no access to this project"
    return f"; {hint}" if hint else ""


def _advice(token: TokenHeaders) -> str:
    return _LEGACY_REFUSED if token.kind == "legacy" else _OTHER_REFUSED


async def check(home: LabelStudio | None, session: aiohttp.ClientSession) -> Finding:
    """Ask Label Studio for the user of the token, if there is one configured; never raises."""
    if home is None:
        return Finding(
            ok=None,
            sentence="LABEL_STUDIO_URL is not set: images that Label Studio keeps can be fetched only with the address and token that it sends with /setup.",
        )
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await _ask(home, session)
    except ImageFetchError as error:
        return Finding(ok=False, sentence=f"{error}.")
    except TimeoutError:
        cause = f"no answer within {CHECK_SECONDS} s"
    except (aiohttp.ClientError, ValueError) as error:
        cause = network_cause(error)
    except TooLargeError:
        cause = "its answer is too long"
    return Finding(
        ok=False,
        sentence=f"Label Studio cannot be reached at {home.url} ({cause}): set LABEL_STUDIO_URL to an address that this machine "
        "can reach; in a container, localhost is the container itself.",
    )


async def _ask(home: LabelStudio, session: aiohttp.ClientSession) -> Finding:
    headers = await home.headers.get(session) if home.headers else {}
    async with session.get(f"{home.url}/api/current-user/whoami", headers=headers, allow_redirects=False) as response:
        is_json = response.content_type == "application/json"
        answer = json.loads(await read_at_most(response, SMALL_ANSWER)) if is_json else None
    if response.status == 200 and isinstance(answer, dict) and "email" in answer:
        return Finding(ok=True, sentence=f"Label Studio at {home.url} accepts the token, as {answer['email']}.")
    if response.status == 401 and is_json:
        if home.headers is None:
            return Finding(
                ok=False,
                sentence=f"LABEL_STUDIO_API_KEY is not set: Label Studio at {home.url} serves no image without it.",
            )
        # The message differs between a wrong legacy token and legacy tokens that are turned off.
        advice = _LEGACY_REFUSED if "legacy token" in str(answer) else _OTHER_REFUSED
        return Finding(ok=False, sentence=f"Label Studio at {home.url} refuses the token: {advice}.")
    if 300 <= response.status < 400 and "Location" in response.headers:
        there = response.url.join(URL(response.headers["Location"])).origin()
        return Finding(
            ok=False, sentence=f"The server at {home.url} redirects to {there}: set LABEL_STUDIO_URL to that."
        )
    return Finding(
        ok=False,
        sentence=f"The server at {home.url} is not Label Studio (status {response.status} for /api/current-user/whoami): "
        "correct LABEL_STUDIO_URL, with its path prefix if it has one.",
    )
