import json

import pytest
from picture_server import Answer, PictureServer

from ml_backend.images.fetch import ImageFetcher
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.health import Finding
from ml_backend.settings import Settings, load_settings

WHOAMI = "/api/current-user/whoami"
JSON = {"Content-Type": "application/json"}
LEGACY_OFF = json.dumps({"detail": "legacy token authentication has been disabled for this organization"}).encode()


async def check(url: str | None, token: str | None) -> Finding:
    """Check the Label Studio at ``url``."""
    settings = load_settings(label_studio_url=url, label_studio_api_key=token) if url else Settings()
    async with ImageFetcher.from_settings(settings) as fetcher:
        return await fetcher.check(LabelStudios.from_settings(settings).configured)


@pytest.mark.parametrize(
    ("answer", "token", "ok", "words"),
    [
        (Answer(b'{"email": "a@b.co"}', headers=JSON), "t0ken", True, "accepts the token, as a@b.co"),
        (Answer(b'{"detail": "Invalid token."}', 401, JSON), "t0ken", False, "copy LABEL_STUDIO_API_KEY again"),
        (Answer(LEGACY_OFF, 401, JSON), "t0ken", False, "to a personal access token"),
        (Answer(b'{"detail": "not provided"}', 401, JSON), None, False, "LABEL_STUDIO_API_KEY is not set"),
        (Answer(b"<html>", 200, {"Content-Type": "text/html"}), "t0ken", False, "is not Label Studio (status 200"),
        (Answer(status=404), "t0ken", False, "correct LABEL_STUDIO_URL"),
        (Answer(b"{", 200, JSON), "t0ken", False, "cannot be reached"),
    ],
    ids=["fine", "wrong token", "legacy tokens are off", "no token", "a web site", "wrong path prefix", "broken JSON"],
)
async def test_finding_says_which_setting_to_change(
    pictures: PictureServer, answer: Answer, token: str | None, ok: bool, words: str
) -> None:
    """One sentence, without the token."""
    pictures.add(WHOAMI, answer)
    finding = await check(pictures.url, token)
    assert finding.ok == ok
    assert words in finding.sentence
    assert "t0ken" not in finding.sentence


async def test_unreachable_label_studio() -> None:
    """The most frequent mistake in a container is named."""
    finding = await check("http://127.0.0.1:1", "t0ken")
    assert not finding.ok
    assert "Connection refused" in finding.sentence
    assert "localhost is the container itself" in finding.sentence


async def test_no_label_studio() -> None:
    """It is neither right nor wrong to have none, but a person should know the consequence."""
    finding = await check(None, None)
    assert finding.ok is None
    assert "LABEL_STUDIO_URL is not set" in finding.sentence
