import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.servers import Prelabel
from picture_server import Answer, PictureServer
from PIL import Image
from samples import BALLOON_CONFIG, balloon_file, balloon_scene, empty_file, encoded, large_scene, stored_as
from tiny_classifier import BOTH_CONFIG

Serve = Callable[..., str]

USER = {"basic_auth_user": "me", "basic_auth_pass": "pa:ss word"}
LOGIN = ("me", "pa:ss word")
UNKNOWN = "0" * 64  # SHA-256 of no picture
BOX = (0.25, 0.125, 0.65, 0.3125)  # of the balloon: ymin, xmin, ymax, xmax, normalized

OPEN = [
    ("GET", "/"),
    ("GET", "/assets/try.js"),
    ("GET", "/try/classes"),
    ("POST", "/try/pictures"),
    ("POST", "/try/label-config"),
    ("POST", "/try/decisions"),
]
"""The routes that everybody may use where no password is set."""

OPERATORS = [
    ("GET", "/try/projects"),
    ("GET", "/try/projects/1"),
    ("POST", "/try/projects/1/pictures/1/0"),
    ("POST", "/try/projects/1/label-config"),
    ("POST", "/try/address"),
]
"""The routes that use the operator's token or network."""


@pytest.fixture(scope="module")
def open_service(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, colour_classifier_dir: Path
) -> Iterator[str]:
    """Give the address of a service without a password, with a detector and a classifier."""
    settings = {
        "PRELABEL_CLASSIFIER": str(colour_classifier_dir),
        "PRELABEL_IMAGE_MAX_BYTES": "50000",
    }
    yield from running(tmp_path_factory, models_dir, settings)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Give the address of a service with a password, with a detector."""
    settings = {"BASIC_AUTH_USER": LOGIN[0], "BASIC_AUTH_PASS": LOGIN[1], "PRELABEL_IMAGE_MAX_BYTES": "20000"}
    yield from running(tmp_path_factory, models_dir, settings)


def running(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, settings: dict[str, str]) -> Iterator[str]:
    """Run ``prelabel serve`` with the demo detector for a module."""
    folder = tmp_path_factory.mktemp("try-it")
    usual = {"PRELABEL_MODEL": "demo", "TFHUB_CACHE_DIR": str(models_dir), "PRELABEL_HOME": str(folder)}
    server = Prelabel(folder, None, usual | settings)
    yield server.url
    server.stop()


@pytest.fixture
def client(open_service: str) -> Iterator[httpx.Client]:
    """Give a client of the service without a password."""
    with httpx.Client(base_url=open_service) as client:
        yield client


def ask(url: str, method: str, path: str, **request: Any) -> httpx.Response:
    """Ask a route as a browser does, with a body where it takes one."""
    if path == "/try/pictures":
        request["content"] = balloon_file()
    elif method == "POST":
        request["json"] = {"label_config": BALLOON_CONFIG, "digest": UNKNOWN, "address": "http://127.0.0.1:9/a.png"}
    headers = {"Accept": "text/html"} | request.pop("headers", {})
    return httpx.request(method, url + path, headers=headers, **request)


def decided(client: httpx.Client, picture: bytes, label_config: str, **query: int) -> Any:
    """Send a picture, and return the decisions on it under a label config."""
    sent = client.post("/try/pictures", content=picture, params=query).json()
    return client.post("/try/decisions", json={"digest": sent["digest"], "label_config": label_config}).json()


def config(inside: str, control: str = "RectangleLabels", attributes: str = "") -> str:
    """Return a label config with one control."""
    return (
        '<View><Image name="image" value="$image"/>'
        f'<{control} name="label" toName="image" {attributes}>{inside}</{control}></View>'
    )


# ---- Pictures ----


def test_picture_is_known_by_its_bytes_and_measured_as_shown(client: httpx.Client) -> None:
    """The digest is the SHA-256 of the file, and a picture this small needs no tiles."""
    answer = client.post("/try/pictures", content=balloon_file()).json()
    digest = hashlib.sha256(balloon_file()).hexdigest()
    assert answer == {"digest": digest, "width": 320, "height": 200, "large": False}


@pytest.mark.parametrize(("file_format", "orientation"), [("PNG", 1), ("JPEG", 1), ("JPEG", 6), ("JPEG", 3)])
def test_boxes_lie_in_the_picture_as_a_browser_shows_it(
    client: httpx.Client, file_format: str, orientation: int
) -> None:
    """A file that is stored lying on its side has the size and the box of the upright picture."""
    picture = stored_as(orientation, Image.fromarray(balloon_scene()), file_format)
    size = client.post("/try/pictures", content=picture).json()
    assert (size["width"], size["height"]) == (320, 200)
    (control,) = decided(client, picture, BALLOON_CONFIG)["boxes"]
    (balloon,) = [each for each in control["detections"] if each["score"] > 0.5]
    assert balloon["label"] == "Balloon"
    assert balloon["box"] == pytest.approx(BOX, abs=0.02)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(b"", 422, "empty", id="empty"),
        pytest.param(b"hello", 422, "not a known image format", id="not an image"),
        pytest.param(b"<html><body>Log in</body></html>", 422, "HTML page", id="a page"),
        pytest.param(balloon_file()[:300], 422, "truncated", id="truncated"),
        pytest.param(b"x" * 50_001, 413, "50,000 bytes", id="over the limit"),
    ],
)
def test_refusal_says_what_is_wrong_with_the_picture(
    client: httpx.Client, body: bytes, status: int, words: str
) -> None:
    """The page puts the file's name in front of the sentence, so the sentence begins with the fault."""
    answer = client.post("/try/pictures", content=body)
    assert answer.status_code == status
    message = answer.json()["error"]["message"]
    assert words in message
    assert "data:" not in message
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("tiles", ["1", "5", "-2", "two", "", "9" * 400])
def test_number_of_tiles_is_checked(client: httpx.Client, tiles: str) -> None:
    """Only 2, 3 and 4 are possible; the refusal has the shape of all errors."""
    answer = client.post("/try/pictures", params={"tiles": tiles}, content=balloon_file())
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_request"


# ---- Decisions ----


def test_decisions_need_the_picture_once(client: httpx.Client) -> None:
    """An unknown picture is asked for; once it was sent, its results serve every label config."""
    picture = encoded(Image.fromarray(balloon_scene(321)))
    body = {"digest": hashlib.sha256(picture).hexdigest(), "label_config": BALLOON_CONFIG}
    assert client.post("/try/decisions", json=body).json()["known"] is False
    client.post("/try/pictures", content=picture)
    for label_config in (BALLOON_CONFIG, config('<Label value="Kite"/>'), "<View/>"):
        assert client.post("/try/decisions", json=body | {"label_config": label_config}).json()["known"] is True


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "F" * 64, "../" * 21 + "0", f"{'0' * 64}\n", 7, None])
def test_digest_has_one_form(client: httpx.Client, digest: object) -> None:
    """It becomes part of a key of the cache."""
    answer = client.post("/try/decisions", json={"digest": digest, "label_config": BALLOON_CONFIG})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_request")


def test_config_that_cannot_be_served_shows_what_the_models_see(client: httpx.Client) -> None:
    """Somebody who begins has no labels yet, and learns from it which there could be."""
    found = decided(client, balloon_file(), "<View/>")
    assert {each["fate"] for each in found["boxes"][0]["detections"]} == {"not in this project"}
    assert found["boxes"][0]["detections"][0]["class"] == "Balloon"
    assert found["choices"][0]["classes"][0]["score"] >= found["choices"][0]["classes"][1]["score"]


def test_tiles_are_asked_for_where_the_config_needs_them(client: httpx.Client) -> None:
    """The answer names them, and afterwards there are boxes from tiles that the whole picture does not give."""
    picture = encoded(Image.fromarray(large_scene()))
    sent = client.post("/try/pictures", content=picture).json()
    assert sent["large"] is True
    tiled = config('<Label value="Balloon"/>', attributes='model_tiles="4"')
    body = {"digest": sent["digest"], "label_config": tiled}
    assert client.post("/try/decisions", json=body).json() == {"known": False, "tiles": [4]}
    (control,) = decided(client, picture, tiled, tiles=4)["boxes"]
    views = {each["view"].split()[0] for each in control["detections"] if each["fate"] == "kept"}
    assert any(each.startswith("tile") for each in views)
    (plain,) = decided(client, picture, config('<Label value="Balloon"/>'))["boxes"]
    assert {each["view"] for each in plain["detections"]} == {"whole"}


def test_choices_come_with_their_evidence(client: httpx.Client) -> None:
    """A choice names the classes that speak for it; boxes come beside."""
    found = decided(client, balloon_file(), BOTH_CONFIG)
    (choices,) = found["choices"]
    assert [each["choice"] for each in choices["choices"]] == ["Balloon", "Umbrella"]
    assert choices["choices"][0]["evidence"][0][0] == "balloon"
    assert len(found["boxes"]) == 1


# ---- Label configs ----


@pytest.mark.parametrize(
    ("label", "near"),
    [
        pytest.param("Ballooon", "Balloon", id="a letter too many"),
        pytest.param("balon", "Balloon", id="a letter too few"),
        pytest.param("Persn", "Person", id="a letter left out"),
    ],
)
def test_near_classes_are_offered_for_a_label_that_nothing_reaches(client: httpx.Client, label: str, near: str) -> None:
    """A typing error is the usual reason."""
    text = config(f'<Label value="{label}"/><Label value="Kite"/>')
    answer = client.post("/try/label-config", json={"label_config": text}).json()
    (unreached,) = [each for each in answer["coverage"][0]["labels"] if each["label"] == label]
    assert unreached["classes"] == []
    assert near in unreached["near"]
    assert label in " ".join(answer["warnings"])
    assert answer["problem"] == ""


@pytest.mark.parametrize(
    ("label_config", "words"),
    [
        pytest.param("", "not valid XML", id="nothing"),
        pytest.param("<View", "not valid XML", id="not XML"),
        pytest.param("\ud800", "not valid XML", id="no valid text"),
        pytest.param("<View/>", "no control tag at all", id="no control"),
        pytest.param(config(""), "no <Label>", id="no label"),
        pytest.param(config("x" * 1_000_001), "PRELABEL_LABEL_CONFIG_MAX_BYTES", id="too long"),
        pytest.param(config('<Label value="Zxqv"/>'), "knows none of the labels", id="none that is known"),
        pytest.param(
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + config('<Label value="&e;"/>'),
            "not valid XML",
            id="a file of the machine",
        ),
        pytest.param(
            '<!DOCTYPE x [<!ENTITY a "xxxxxxxxxx">'
            + "".join(f'<!ENTITY {now} "{f"&{before};" * 10}">' for before, now in zip("abcdefgh", "bcdefghi", strict=True))
            + "]>"
            + config('<Label value="&i;"/>'),
            "not valid XML",
            id="a billion letters",
        ),
    ],
)  # fmt: skip
def test_problem_says_why_a_config_cannot_be_served(client: httpx.Client, label_config: str, words: str) -> None:
    """The page shows the sentence below the labels, and nothing of the machine is in it."""
    content = b'{"label_config":' + _json_text(label_config) + b"}"
    answer = client.post("/try/label-config", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert words in answer.json()["problem"]
    assert answer.json()["controls"] == []
    assert "root:" not in answer.text
    assert "Traceback" not in answer.text


def _json_text(text: str) -> bytes:
    return b'"' + b"".join(b"\\u%04x" % ord(each) if each < " " or each > "~" or each in '"\\' else each.encode() for each in text) + b'"'  # fmt: skip


def test_entities_of_the_config_itself_are_read(client: httpx.Client) -> None:
    """They are XML, and Label Studio reads them too."""
    text = '<!DOCTYPE x [<!ENTITY b "Balloon">]>' + config('<Label value="&b;"/>')
    answer = client.post("/try/label-config", json={"label_config": text}).json()
    assert [each["label"] for each in answer["controls"][0]["labels"]] == ["Balloon"]


def test_alias_is_the_name_in_regions(client: httpx.Client) -> None:
    """Decisions carry the alias, as predictions do; the page finds the tag by it."""
    text = config('<Label value="Balloon" alias="B1" model_score_threshold="0.4"/>')
    (label,) = client.post("/try/label-config", json={"label_config": text}).json()["controls"][0]["labels"]
    assert (label["label"], label["path"], label["threshold"]) == ("B1", ["B1"], 0.4)
    assert decided(client, balloon_file(), text)["boxes"][0]["detections"][0]["label"] == "B1"


def test_pair_of_tags_is_one_control(client: httpx.Client) -> None:
    """Boxes are drawn by the rectangle, and labels stand in the other tag, which the page edits."""
    text = (
        '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image"/>'
        '<Labels name="kind" toName="image"><Label value="Balloon"/></Labels></View>'
    )
    (control,) = client.post("/try/label-config", json={"label_config": text}).json()["controls"]
    assert (control["control"], control["tag"]) == ("box", "kind")


def test_choices_in_a_tree_are_told_by_their_paths(client: httpx.Client) -> None:
    """Two branches may have choices with one name."""
    tree = (
        '<Choice value="Sky"><Choice value="Balloon"/></Choice>'
        '<Choice value="Party"><Choice value="Balloon" predicted_values="bubble"/></Choice>'
    )
    answer = client.post("/try/label-config", json={"label_config": config(tree, "Taxonomy")}).json()
    names = [each["label"] for each in answer["controls"][0]["labels"]]
    assert names == ["Sky", "Sky / Balloon", "Party", "Party / Balloon"]


def test_many_unreached_labels_cost_little(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near names are looked for as long as somebody may read them: they cost two milliseconds each."""
    asked: list[str] = []

    def noting(text: str, *_: object) -> list[str]:
        asked.append(text)
        return []

    monkeypatch.setattr("ml_backend.postprocessing.label_coverage.near_names", noting)
    text = config("".join(f'<Label value="balon{number}"/>' for number in range(5000)))
    answer = httpx.post(f"{serve()}/try/label-config", json={"label_config": text}).json()
    assert len(answer["coverage"][0]["labels"]) == 5000
    assert 0 < len(asked) <= 100


def test_classes_are_listed_with_those_above_them(client: httpx.Client) -> None:
    """Each parent is in the list, so the page can draw the tree."""
    classes = client.get("/try/classes").json()["detector"]
    ids = {each["id"] for each in classes}
    assert {"Balloon", "Kite", "Box"} <= {each["name"] for each in classes if each["output"]}
    assert all(each["parent"] in ids for each in classes if each["parent"])


# ---- Who may ask ----


@pytest.mark.parametrize(("method", "path"), [*OPEN, *OPERATORS])
def test_nothing_without_the_password_where_one_is_set(secured: str, method: str, path: str) -> None:
    """401 to nobody, and to a wrong password."""
    for auth in (None, ("me", "wrong")):
        answer = ask(secured, method, path, auth=auth)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_trying_needs_no_password_where_none_is_set(open_service: str, method: str, path: str) -> None:
    """What one adds oneself is nobody else's."""
    assert ask(open_service, method, path).status_code == 200


def test_addresses_and_projects_need_a_service_with_a_password(serve: Serve, pictures: PictureServer) -> None:
    """403 says what to set; nobody is asked with the operator's token before."""
    url = serve(label_studio_url=pictures.url, label_studio_api_key="secret")
    for method, path in OPERATORS:
        answer = ask(url, method, path, auth=LOGIN)
        assert answer.status_code == 403, path
        assert "BASIC_AUTH_USER" in answer.json()["error"]["message"]
    assert [asked for asked, _ in pictures.requests if "project" in asked or "task" in asked] == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="another service of the same company"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="another site, in an old browser"),
        pytest.param({"Origin": "null"}, 403, id="a page in a frame without an origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, 403, id="one that claims to be this one"),
        pytest.param({"Sec-Fetch-Site": "same-origin", "Origin": "{own}"}, 200, id="the page"),
        pytest.param({"Origin": "{own}"}, 200, id="the page, in an old browser"),
        pytest.param({"Sec-Fetch-Site": "none"}, 200, id="somebody who typed the address"),
        pytest.param({}, 200, id="another client"),
    ],
)
def test_other_sites_are_refused(secured: str, headers: dict[str, str], status: int) -> None:
    """A browser would add the password to their requests."""
    given = {name: value.replace("{own}", secured) for name, value in headers.items()}
    for method, path in (each for each in OPEN + OPERATORS if each[1].startswith("/try/")):
        answer = ask(secured, method, path, headers=given, auth=LOGIN)
        refused = answer.status_code == 403 and "comes from another site" in answer.text
        assert refused == (status == 403), path


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_bodies_are_json(client: httpx.Client, kind: str) -> None:
    """Forms of other sites cannot send it without asking."""
    answer = client.post("/try/label-config", content=b'{"label_config": "<View/>"}', headers={"Content-Type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("label_config", "words"),
    [("<View", "not valid XML"), (config("x" * 1_000_001), "PRELABEL_LABEL_CONFIG_MAX_BYTES")],
    ids=["broken", "too long"],
)
def test_config_that_cannot_be_read_is_not_offered_to_a_project(secured: str, label_config: str, words: str) -> None:
    """It is refused before Label Studio is asked, and before a difference is made of it."""
    answer = httpx.post(f"{secured}/try/projects/1/label-config", json={"label_config": label_config}, auth=LOGIN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_label_config")
    assert words in answer.json()["error"]["message"]


# ---- Headers ----


def test_page_runs_nothing_but_its_own_files(client: httpx.Client) -> None:
    """No script and no style in the page itself, and none from elsewhere."""
    answer = client.get("/", headers={"Accept": "text/html,*/*"})
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize(("method", "path"), [each for each in OPEN if each[1] != "/assets/try.js"])
def test_nothing_is_kept_by_others(secured: str, method: str, path: str) -> None:
    """No store on the way keeps a page or an answer, and no browser guesses what it is."""
    answer = ask(secured, method, path, auth=LOGIN)
    assert answer.headers["Cache-Control"] in {"private, no-store", "private, no-cache"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["x", "..%2Fpage.py", "%2e%2e%2ftemplates%2ftry.html", "%00", "a" * 3000, "."])
def test_no_other_files_are_served(client: httpx.Client, name: str) -> None:
    """Scripts and styles of the pages are; the rest of the package is not."""
    assert client.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_other_clients_get_the_answer_of_health(open_service: str, secured: str, accept: str) -> None:
    """Label Studio asks there, without a password."""
    for url in (open_service, secured):
        answer = httpx.get(url, headers={"Accept": accept})
        assert (answer.status_code, answer.json()) == (200, {"status": "UP", "model_class": "Prelabel"})


# ---- Addresses ----


def fetched(url: str, address: str) -> httpx.Response:
    """Ask for the picture at an address."""
    return httpx.post(f"{url}/try/address", json={"address": address}, auth=LOGIN)


def test_picture_at_an_address_comes_as_a_file(secured: str, pictures: PictureServer) -> None:
    """The page gets its bytes, which no browser takes for a page."""
    answer = fetched(secured, pictures.add("/a.png", balloon_file()))
    assert answer.content == balloon_file()
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(Answer(b'{"secret": "s3cr3t"}', headers={"Content-Type": "application/json"}), id="JSON"),
        pytest.param(Answer(b"<html>s3cr3t</html>"), id="a page"),
        pytest.param(Answer(b"s3cr3t"), id="a text"),
        pytest.param(Answer(b"s3cr3t", status=403), id="a refusal"),
        pytest.param(Answer(b"s3cr3t", status=500), id="a failure"),
        pytest.param(Answer(b""), id="nothing"),
        pytest.param(Answer(status=302, headers={"Location": "file:///etc/passwd"}), id="a redirect to a file"),
        pytest.param(Answer(empty_file() * 500), id="too large"),
    ],
)
def test_address_reveals_nothing_but_pictures(secured: str, pictures: PictureServer, found: Answer) -> None:
    """All that is no picture has one answer, so that nobody learns which services there are, or reads what they say."""
    address = pictures.add("/internal", found)
    answer = fetched(secured, address)
    absent = fetched(secured, f"{pictures.url}/missing")
    assert "s3cr3t" not in answer.text
    assert answer.status_code == absent.status_code == 502
    assert answer.json()["error"]["message"].replace("/internal", "/missing") == absent.json()["error"]["message"]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("/etc/passwd", id="a path"),
        pytest.param("", id="nothing"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("http://", id="no host"),
        pytest.param("http://169.254.169.254/latest/meta-data/", id="the machine's own data in a cloud"),
        pytest.param("http://" + "a" * 100_000, id="too long"),
        pytest.param("data:image/png;base64,AAAA", id="no picture in a data: URI"),
    ],
)
def test_other_addresses_are_refused(secured: str, address: str) -> None:
    """What is fetched follows the rules of tasks."""
    answer = fetched(secured, address)
    assert answer.status_code in {422, 502}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert "root:" not in answer.text
    assert len(answer.text) < 2000


def test_networks_that_settings_refuse_are_not_asked(serve: Serve, pictures: PictureServer) -> None:
    """Neither directly nor by way of a redirect; the answer does not tell what would be there."""
    pictures.add("/a.png", balloon_file())
    url = serve(**USER, blocked_networks="127.0.0.0/8")
    answer = fetched(url, f"{pictures.url}/a.png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "image_not_fetched")
    assert pictures.requests == []


def test_large_file_in_an_address_counts_as_one(secured: str) -> None:
    """A data: URI is held to the limit of files."""
    uri = "data:image/png;base64," + base64.b64encode(balloon_file()).decode()
    assert fetched(secured, uri).status_code == 200
    large = "data:image/bmp;base64," + base64.b64encode(encoded(Image.fromarray(balloon_scene()), "BMP")).decode()
    assert fetched(secured, large).status_code in {422, 502}
