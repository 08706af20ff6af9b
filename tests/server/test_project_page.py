"""The page of a project, over HTTP."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from corrections import SCENE_CONFIG, classified
from kite_project import AUTH, LEARNED, PROJECT, USER, keep, kite, kites
from picture_server import PictureServer
from PIL import Image
from ports import free_port
from revision_steps import past_of
from samples import BALLOON_CONFIG, balloon_file
from typer.testing import CliRunner

from ml_backend.cli.common import app as command_line
from ml_backend.feedback.store.database import Database
from ml_backend.inference.detector import Detector
from ml_backend.settings import Settings

Serve = Callable[..., str]
HTML = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>\u202e" + "x" * 300


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Give the address of an empty SQLite database."""
    return f"sqlite:///{tmp_path / 'feedback.sqlite3'}"


def start(serve: Serve, database: str, **more: Any) -> str:
    """Start the service on a database; gives the address of the project's page."""
    return f"{serve(database_url=database, target_precision=0.9, **more)}/projects/{PROJECT}"


def sections(page: str, auth: tuple[str, str] | None = None) -> str:
    """Return the sections of a page when all of them are computed."""
    for _ in range(100):
        text = httpx.get(f"{page}/figures", auth=auth).text
        if "being computed" not in text:
            return text
        time.sleep(0.1)
    raise AssertionError(text)


def field(text: str, name: str) -> str:
    """Return the value of a hidden field in a page."""
    found = re.search(rf'name="{name}" value="([^"]+)"', text)
    assert found, text
    return found[1]


def test_json_is_that_of_the_report(
    serve: Serve, demo_detector: Detector, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One source for both, figure by figure; and again after a correction more."""
    keep(Settings(database_url=database_url), *kites(demo_detector), detector=demo_detector)
    page = start(serve, database_url, learn="off")
    monkeypatch.setenv("PRELABEL_DATABASE_URL", database_url)
    monkeypatch.setenv("PRELABEL_TARGET_PRECISION", "0.9")
    for count in (60, 61):
        printed = CliRunner().invoke(command_line, ["report", "--project", str(PROJECT), "--json"])
        answer = httpx.get(page)
        assert answer.json() == json.loads(printed.stdout)
        assert answer.json()["annotations"] == count
        assert answer.json()["learning"]["would_change"]
        more = kite(count + 1, 0.6, right=True, detector=demo_detector.fingerprint[:8])
        keep(Settings(database_url=database_url), more)


def test_page_shows_figures_proposal_and_days(serve: Serve, demo_detector: Detector, file: str) -> None:
    """The shell at once, and the sections when they are fetched; as a whole page for browsers without scripts."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    page = start(serve, file, label_studio_url="http://studio:8080")
    shell = httpx.get(page, headers=HTML).text
    assert "<bdi>Kites</bdi></h1>" in shell
    assert 'href="http://studio:8080/projects/3"' in shell
    assert '<noscript><p class="note">' in shell
    text = sections(page)
    for words in (
        "threshold of Kite</bdi>",
        f"<bdi>{LEARNED}</bdi>",
        "Annotations by day from 2026-01-01 to 2026-01-09: 60 in all, most on 2026-01-02, 7",
        "Applying needs a password",
        "Pictures of Label Studio are shown only to those who have a password",
        'href="http://studio:8080/projects/3/data?task=60"',
        "Nothing was learned yet",
    ):
        assert words in text
    assert "<img" not in text
    assert " style=" not in text  # which the Content-Security-Policy forbids
    whole = httpx.get(f"{page}/figures?whole=1")
    assert "<bdi>Kites</bdi></h1>" in whole.text
    assert "threshold of Kite</bdi>" in whole.text
    assert "<script" not in whole.text
    assert "default-src 'none'" in whole.headers["Content-Security-Policy"]


def test_choices_have_their_sections(serve: Serve, file: str) -> None:
    """Without one on boxes; colours are classes, and thresholds of choices are not learned."""
    keep(Settings(database_url=file), classified("Dog", "Dog"), classified("Dog", "Cat", 2), xml=SCENE_CONFIG)
    text = sections(start(serve, file))
    assert "Choices of <bdi>scene</bdi></h2>" in text
    assert 'class="wrong share-3" title="Dog → Cat: 1 of 2"' in text
    assert "Nothing would change now: the project has choices only" in text
    assert "<h2>By label</h2>" not in text
    assert " style=" not in text


def test_what_has_not_changed_is_not_sent_again(serve: Serve, demo_detector: Detector, file: str) -> None:
    """A script that has the sections gets 304 without a body; after a correction it gets new ones."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    page = start(serve, file, learn="off")
    sections(page)
    first = httpx.get(f"{page}/figures")
    known = {"If-None-Match": first.headers["ETag"]}
    again = httpx.get(f"{page}/figures", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    time.sleep(4)  # figures rest after a computation
    keep(Settings(database_url=file), kite(61, 0.6, right=True, detector=demo_detector.fingerprint[:8]))
    for _ in range(50):
        answer = httpx.get(f"{page}/figures", headers=known)
        if answer.status_code == 200 and "<b>61</b>annotations" in answer.text:
            return
        time.sleep(0.2)
    raise AssertionError(answer.text)


def test_answer_does_not_wait_for_long_computations(
    serve: Serve, demo_detector: Detector, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202 with a sentence; the whole page loads itself again, without a script."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    monkeypatch.setattr("ml_backend.server.pages.project.WAIT_SECONDS", 0)
    page = start(serve, file, learn="off")
    answer = httpx.get(f"{page}/figures?whole=1")
    assert (answer.status_code, answer.headers["Refresh"]) == (202, "5")
    assert "The figures are being computed" in answer.text
    assert "threshold of Kite</bdi>" in sections(page)


@pytest.mark.parametrize(
    ("project", "words"),
    [
        ("4", "Project 4 has no annotations in the database"),
        ("kites", "Projects are numbered"),
        ("99999999999999999999", "Projects are numbered"),
        ("-1", "Projects are numbered"),
        ("²", "Projects are numbered"),
        ("<script>", "Projects are numbered"),
    ],
    ids=["unknown", "a name", "beyond the databases", "negative", "no digit", "markup"],
)
def test_unknown_project_has_a_sentence_and_a_way_on(
    serve: Serve, demo_detector: Detector, file: str, project: str, words: str
) -> None:
    """404 as a page for browsers, and as JSON for others."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    url = serve(database_url=file)
    page = httpx.get(f"{url}/projects/{project}", headers=HTML)
    assert page.status_code == 404
    assert words in page.text
    assert "Settings, Model, Connect Model" in page.text
    assert "<script>" not in page.text
    answer = httpx.get(f"{url}/projects/{project}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_project")


def test_project_without_corrections_says_what_will_come(serve: Serve, file: str) -> None:
    """It is known from its requests alone."""
    page = start(serve, file)
    httpx.post(f"{page.partition('/projects')[0]}/setup", json={"project": f"{PROJECT}.1", "schema": BALLOON_CONFIG})
    assert httpx.get(page, headers=HTML).status_code == 200
    answer = httpx.get(f"{page}/figures")
    assert answer.status_code == 200
    assert "No corrections yet" in answer.text
    assert "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY" in answer.text


@pytest.mark.parametrize(
    ("xml", "status", "words"),
    [
        ("<View>", 422, "The label config is not valid XML"),
        ("<View/>", 422, "label config"),
        (BALLOON_CONFIG.replace("Balloon", "&lt;script&gt;"), 200, "&lt;script&gt;"),
    ],
    ids=["no XML", "nothing to serve", "markup in a label"],
)
def test_label_config_that_cannot_be_served_has_its_reason(
    serve: Serve, demo_detector: Detector, file: str, xml: str, status: int, words: str
) -> None:
    """In place of the figures; the rest of the page stays."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector, xml=xml)
    page = start(serve, file, learn="off")
    assert httpx.get(page, headers=HTML).status_code == 200
    answer = httpx.get(f"{page}/figures")
    assert answer.status_code == status
    assert words in answer.text
    assert "<script>" not in answer.text
    assert "<h2>Revisions</h2>" in answer.text
    assert "Traceback" not in answer.text


def test_page_stays_where_the_database_is_away(serve: Serve) -> None:
    """503 with a sentence, below the heads of the page; other clients get JSON. Predictions go on."""
    page = start(serve, f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    answer = httpx.get(page, headers=HTML)
    assert answer.status_code == 503
    assert "cannot be used" in answer.text
    assert "Status and projects" in answer.text
    figures = httpx.get(f"{page}/figures")
    assert figures.status_code == 503
    assert "cannot be used" in figures.text
    assert "<h2>Failures</h2>" in figures.text
    assert httpx.get(page).json()["error"]["code"] == "feedback"


def test_records_of_another_detector_are_left_out(serve: Serve, demo_detector: Detector, file: str) -> None:
    """With their number, and the reason."""
    keep(
        Settings(database_url=file),
        *(replace(each, detector="89abcdef") for each in kites(demo_detector)),
        detector=demo_detector,
    )
    assert "60 annotations are left out: they wait for detections of the current detector" in sections(
        start(serve, file)
    )


def test_label_studio_that_is_away_leaves_the_figures(serve: Serve, demo_detector: Detector, file: str) -> None:
    """A sentence in place of the progress, within seconds; annotators have their ids."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    away = {"label_studio_url": f"http://127.0.0.1:{free_port()}", "label_studio_api_key": "a" * 40}
    page = start(serve, file, **away, learn="off")
    begun = time.monotonic()
    text = httpx.get(f"{page}/figures").text
    assert time.monotonic() - begun < 15
    assert "does not answer" in text or "has not answered" in text
    assert "<bdi>annotator 1</bdi>" in text


def test_hostile_names_are_text(serve: Serve, demo_detector: Detector, file: str) -> None:
    """Titles, labels, versions and authors with markup, reversed writing and three hundred letters."""
    xml = BALLOON_CONFIG.replace('"Balloon"', f'"{EVIL.replace("<", "&lt;")}"')
    facts: dict[str, Any] = {"version": EVIL, "drawable": {"label": ("Kite", EVIL)}}
    keep(Settings(database_url=file), *kites(demo_detector, **facts), detector=demo_detector, title=EVIL, xml=xml)
    page = start(serve, file)
    for text in (httpx.get(page, headers=HTML).text, sections(page)):
        assert "<script>" not in text
        assert "<bdi>&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("settings", "auth", "status"),
    [
        ({}, None, 403),
        (USER, None, 401),
        (USER, ("lead", "wrong"), 401),
    ],
    ids=["no password is set", "nobody", "a wrong password"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/apply"), ("POST", "/revert"), ("GET", "/pictures/worst/0"), ("GET", "/pictures/check/0")],
)
def test_changes_and_pictures_need_a_password(
    serve: Serve, file: str, method: str, path: str, settings: dict[str, str], auth: Any, status: int
) -> None:
    """One that is set, and given."""
    answer = httpx.request(method, start(serve, file, **settings) + path, auth=auth)
    assert answer.status_code == status
    assert (status == 403) == ("BASIC_AUTH_USER" in answer.text)


@pytest.mark.parametrize("path", ["", "/figures", "/figures?whole=1"])
def test_page_is_behind_the_password(serve: Serve, file: str, path: str) -> None:
    """As the status page is."""
    assert httpx.get(start(serve, file, **USER) + path, headers=HTML).status_code == 401


def test_proposal_is_applied_and_taken_back_by_the_user_of_the_password(
    serve: Serve, demo_detector: Detector, file: str
) -> None:
    """Both are revisions with the author, and in force in the service at once."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    page = start(serve, file, learn="off", **USER)
    status = f"{page.partition('/projects')[0]}/setup"
    versions = set()

    def version() -> str:
        answer = httpx.post(status, json={"project": f"{PROJECT}.1", "schema": BALLOON_CONFIG}, auth=AUTH)
        return str(answer.json()["model_version"])

    versions.add(version())
    digest = field(sections(page, AUTH), "digest")
    answer = httpx.post(f"{page}/apply", data={"digest": digest}, auth=AUTH)
    assert answer.json() == {"revision": 1, "sentence": "In force: revision 1 of project 3."}
    versions.add(version())
    text = sections(page, AUTH)
    assert "Nothing would change now" in text
    after = field(text, "after")
    back = httpx.post(f"{page}/revert", data={"after": after}, auth=AUTH)
    assert back.json()["sentence"] == "In force: revision 2 of project 3, which reverts to the state before any."
    versions.add(version())
    assert len(versions) == 3
    database = Database(file)
    past = past_of(database)
    database.close()
    assert [(each.number, each.author, each.stands_for) for each in past] == [(1, "lead", 1), (2, "lead", 0)]
    assert past[0].overrides.thresholds[-1][1:] == ("Kite", LEARNED)
    text = sections(page, AUTH)
    assert "by <bdi>lead</bdi>: reverted, revision 2" in text
    assert "Back to the state before any." in text
    assert 'name="after"' not in text


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        ("/apply", {"digest": "0" * 32}, "the proposal has changed since it was shown"),
        ("/apply", {}, "the proposal has changed since it was shown"),
        ("/revert", {"after": "1"}, "revision 2 of project 3 is in force meanwhile"),
        ("/revert", {"after": "9" * 5000}, "revision 2 of project 3 is in force meanwhile"),
        ("/revert", {"after": "²"}, "revision 2 of project 3 is in force meanwhile"),
        ("/revert", {}, "revision 2 of project 3 is in force meanwhile"),
    ],
    ids=["another proposal", "none", "another revision", "an endless number", "no number", "no revision"],
)
def test_what_was_not_shown_is_not_applied(
    serve: Serve, demo_detector: Detector, file: str, path: str, data: dict[str, str], words: str
) -> None:
    """409 with a sentence, as JSON to the script and as a page to a form; nothing changes."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    page = start(serve, file, learn="off", **USER)
    for _ in range(2):
        digest = field(sections(page, AUTH), "digest")
        httpx.post(f"{page}/apply", data={"digest": digest}, auth=AUTH).raise_for_status()
        if _ == 0:
            httpx.post(f"{page}/revert", data={"after": "1"}, auth=AUTH).raise_for_status()
    database = Database(file)
    past = past_of(database)
    answer = httpx.post(f"{page}{path}", data=data, auth=AUTH)
    assert answer.status_code == 409
    assert words.replace("revision 2", f"revision {len(past)}") in answer.json()["error"]["message"]
    form = httpx.post(f"{page}{path}", data=data, auth=AUTH, headers=HTML)
    assert form.status_code == 409
    assert "Try again" in form.text
    assert past_of(database) == past
    database.close()


def test_form_without_a_script_leads_back_to_the_page(serve: Serve, demo_detector: Detector, file: str) -> None:
    """To the figures as a page of their own."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    page = start(serve, file, learn="off", **USER)
    digest = field(sections(page, AUTH), "digest")
    answer = httpx.post(f"{page}/apply", data={"digest": digest}, auth=AUTH, headers=HTML)
    assert answer.status_code == 303
    assert str(answer.next_request and answer.next_request.url) == f"{page}/figures?whole=1"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 409),
        ({}, 409),
    ],
)
@pytest.mark.parametrize("path", ["/apply", "/revert"])
def test_pages_of_other_sites_change_nothing(
    serve: Serve, demo_detector: Detector, file: str, path: str, headers: dict[str, str], status: int
) -> None:
    """A browser would add the password to their requests."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    page = start(serve, file, learn="off", **USER)
    httpx.post(f"{page}/apply", data={"digest": field(sections(page, AUTH), "digest")}, auth=AUTH).raise_for_status()
    assert httpx.post(f"{page}{path}", auth=AUTH, headers=headers).status_code == status


def test_pictures_are_drawn_for_the_password_and_kept_by_nobody(
    serve: Serve, demo_detector: Detector, file: str, pictures: PictureServer
) -> None:
    """JPEG files with boxes; 410 for those of an older list, and the reason for one that cannot be fetched."""
    address = pictures.add("/balloon.png", balloon_file())
    wrong = {"detector": demo_detector.fingerprint[:8]}
    gone = kite(61, 0.9, right=False, image=f"http://127.0.0.1:{free_port()}/gone.jpg", **wrong)
    keep(Settings(database_url=file), *kites(demo_detector, address), gone, detector=demo_detector)
    page = start(serve, file, learn="off", **USER)
    sources = re.findall(r'src="(3/pictures/[^"]+)"', sections(page, AUTH))
    assert {each.split("/")[2] for each in sources} == {"worst", "check"}
    base = page.rpartition("/")[0]
    statuses = set()
    for source in sources:
        answer = httpx.get(f"{base}/{source}", auth=AUTH)
        statuses.add(answer.status_code)
        if answer.status_code != 200:
            assert answer.json()["error"]["code"] == "image_not_fetched"
            continue
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["Content-Type"] == "image/jpeg"
        with Image.open(BytesIO(answer.content)) as drawn:
            assert max(drawn.size) <= 560
    assert statuses == {200, 502}
    for path in ("worst/0?of=0", "worst/0", "worst/999", "check/-1"):
        assert httpx.get(f"{page}/pictures/{path}", auth=AUTH).status_code == 410
    assert httpx.get(f"{page}/pictures/other/0", auth=AUTH).status_code == 422
