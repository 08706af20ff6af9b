import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from label_studio_sdk.label_interface import LabelInterface
from picture_server import Answer, PictureServer
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from redis_server import RedisServer
from samples import BALLOON_CONFIG, balloon_file, encoded
from waiting import wait_until

Serve = Callable[..., str]


def post(
    url: str, tasks: list[Any], label_config: str = BALLOON_CONFIG, project: str = "7.1795326029"
) -> httpx.Response:
    """Post tasks as Label Studio does."""
    body = {
        "tasks": tasks,
        "project": project,
        "label_config": label_config,
        "params": {"login": None, "password": None, "context": None},
    }
    return httpx.post(f"{url}/predict", json=body, timeout=60)


def label_studio_task(number: int, image: object) -> dict[str, Any]:
    """Return a task with all the fields that Label Studio 1.23 sends."""
    return {
        "id": number,
        "data": {"image": image},
        "meta": {},
        "created_at": "2026-11-22T12:00:00Z",
        "is_labeled": False,
        "overlap": 1,
        "inner_id": number,
        "total_predictions": 0,
        "project": 7,
        "file_upload": 1,
        "annotations": [{"id": 5, "result": []}],
        "predictions": [{"id": 9, "result": [], "model_version": "old"}],
    }


@pytest.mark.parametrize("path", ["/health", "/"])
def test_health_is_up(serve: Serve, path: str) -> None:
    """Label Studio asks before each prediction and wants JSON."""
    answer = httpx.get(serve() + path)
    assert (answer.status_code, answer.json()) == (200, {"status": "UP", "model_class": "Prelabel"})


def test_setup_and_predictions_carry_the_same_version(serve: Serve, pictures: PictureServer) -> None:
    """Label Studio compares them, and asks for ever where they differ."""
    url = serve()
    body = {
        "project": "7.1795326029",
        "schema": BALLOON_CONFIG,
        "hostname": "http://ls",
        "access_token": "secret",
        "extra_params": None,
    }
    version = httpx.post(f"{url}/setup", json=body).json()["model_version"]
    (result,) = post(url, [label_studio_task(1, pictures.add("/a.png", balloon_file()))]).json()["results"]
    assert result["model_version"] == version


@pytest.mark.parametrize("schema", ["<View></View>", "<View", ""])
def test_setup_stays_200_for_a_config_that_cannot_be_served(serve: Serve, schema: str) -> None:
    """The reason stands where a person looks; an error here would only look like a dead backend."""
    url = serve()
    answer = httpx.post(f"{url}/setup", json={"project": "7.1", "schema": schema})
    assert answer.status_code == 200
    assert answer.json()["model_version"].startswith("demo-shapes@")
    assert "label config" in httpx.get(f"{url}/status").json()["projects"]["7"]["config_problem"]


def test_pictures_by_http_and_inline(serve: Serve, pictures: PictureServer) -> None:
    """Both forms give the same boxes, and Label Studio's own validation accepts them."""
    data = balloon_file()
    inline = "data:image/png;base64," + base64.b64encode(data).decode()
    tasks = [label_studio_task(1, pictures.add("/a.png", data)), label_studio_task(2, inline)]
    first, second = post(serve(), tasks).json()["results"]
    assert first["result"][0]["value"] == second["result"][0]["value"]
    assert first["result"][0]["id"] != second["result"][0]["id"]
    for result in (first, second):
        assert LabelInterface(BALLOON_CONFIG).validate_prediction(result)
        check_strictly(result, {"Balloon", "Kite", "Box"})


def check_strictly(result: dict[str, Any], labels: set[str]) -> None:
    """Check what Label Studio's validation lets through: ranges, sizes, ids, labels."""
    assert 0 <= result["score"] <= 1
    ids = [region["id"] for region in result["result"]]
    assert len(ids) == len(set(ids))
    for region in result["result"]:
        value = region["value"]
        assert set(value) == {"x", "y", "width", "height", "rotation", "rectanglelabels"}
        assert min(value["x"], value["y"]) >= 0
        assert min(value["width"], value["height"]) > 0
        assert value["x"] + value["width"] <= 100.00001
        assert value["y"] + value["height"] <= 100.00001
        assert len(value["rectanglelabels"]) == 1
        assert value["rectanglelabels"][0] in labels
        assert 0 <= region["score"] <= 1
        assert region["original_width"] >= 1
        assert region["original_height"] >= 1
        assert (region["image_rotation"], value["rotation"]) == (0, 0)


def bomb() -> bytes:
    """Return a small file that claims 400 million pixels and really unpacks to them."""
    return encoded(Image.new("1", (20_000, 20_000)), "PNG")


BAD_PICTURES: list[tuple[str, Answer | None, str]] = [
    ("truncated", Answer(balloon_file()[:200]), "broken or truncated"),
    ("empty", Answer(b""), "could not be fetched as an image"),
    ("HTML instead of an image", Answer(b"<!doctype html><title>Log in</title>"), "could not be fetched as an image"),
    ("decompression bomb", Answer(bomb()), "20000 x 20000 = 400,000,000 pixels"),
    ("too narrow", Answer(encoded(Image.new("RGB", (40_000, 1)))), "too narrow"),
    ("text under an image's name", Answer(b"hello"), "could not be fetched as an image"),
    ("slow host", Answer(balloon_file(), held=True), "could not be fetched as an image"),
    ("not found", Answer(status=404), "could not be fetched as an image"),
    ("not there", None, "could not be fetched as an image"),
]


@pytest.mark.parametrize(("name", "answer", "words"), BAD_PICTURES, ids=[name for name, *_ in BAD_PICTURES])
def test_bad_picture_fails_alone(
    serve: Serve, pictures: PictureServer, name: str, answer: Answer | None, words: str
) -> None:
    """``[]`` in its place, the others keep theirs, and the page says which task and why."""
    url = serve(image_timeout=1 if answer is not None and answer.held else 60)
    good = pictures.add("/good.png", balloon_file())
    bad = "http://127.0.0.1:1/bad.jpg" if answer is None else pictures.add("/bad.jpg", answer)
    response = post(url, [label_studio_task(1, good), label_studio_task(2, bad), label_studio_task(3, good)])
    assert response.status_code == 200
    first, failed, third = response.json()["results"]
    assert failed == []
    assert len(first["result"]) == len(third["result"]) == 1
    (failure,) = httpx.get(f"{url}/status").json()["projects"]["7"]["failures"]
    assert failure["task"] == "2"
    assert words in failure["cause"]


BAD_TASKS: list[tuple[str, object, str]] = [
    ("wrong base64", {"id": 2, "data": {"image": "data:image/png;base64,@@@"}}, "not valid base64"),
    ("missing key", {"id": 2, "data": {"picture": "x"}}, "has no 'image'"),
    ("data is a list", {"id": 2, "data": ["x"]}, "no object under 'data'"),
    ("no data", {"id": 2}, "no object under 'data'"),
    ("image is null", {"id": 2, "data": {"image": None}}, "the image is null"),
    ("file of the server", {"id": 2, "data": {"image": "/etc/passwd"}}, "not a form of image"),
    ("upload without Label Studio", {"id": 2, "data": {"image": "/data/upload/1/a.jpg"}}, "set LABEL_STUDIO_URL"),
    ("id is true", {"id": True, "data": {"image": "/a"}}, "the task's id is true; expected a positive whole number"),
    ("id is negative", {"id": -1, "data": {"image": "/a"}}, "the task's id is -1"),
    ("id is larger than a database's", {"id": 10**30, "data": {"image": "/a"}}, "the task's id is 1000"),
    ("id is text", {"id": "1", "data": {"image": "/a"}}, 'the task\'s id is "1"'),
]


@pytest.mark.parametrize(("name", "task", "words"), BAD_TASKS, ids=[name for name, *_ in BAD_TASKS])
def test_bad_task_fails_alone(serve: Serve, pictures: PictureServer, name: str, task: object, words: str) -> None:
    """A task that holds something else than the config says costs no other task its boxes."""
    url = serve()
    good = label_studio_task(1, pictures.add("/good.png", balloon_file()))
    first, failed = post(url, [good, task]).json()["results"]
    assert len(first["result"]) == 1
    assert failed == []
    (failure,) = httpx.get(f"{url}/status").json()["projects"]["7"]["failures"]
    assert words in failure["cause"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('<View><Image name="image" value="$image"/></View>', "no <RectangleLabels> control"),
        ("<View><Image", "not valid XML"),
        (BALLOON_CONFIG.replace("Balloon", "Gadget").replace("Kite", "Gizmo").replace("Box", "Widget"), "knows none"),
    ],
    ids=["no rectangle control", "malformed XML", "labels that the model does not know"],
)
def test_config_that_cannot_be_served_fails_each_task_with_the_reason(
    serve: Serve, pictures: PictureServer, config: str, words: str
) -> None:
    """The tasks stay retryable, since mending the config mends them."""
    url = serve()
    task = label_studio_task(1, pictures.add("/good.png", balloon_file()))
    response = post(url, [task, task], label_config=config)
    assert (response.status_code, response.json()) == (200, {"results": [[], []]})
    assert words in httpx.get(f"{url}/status").json()["projects"]["7"]["failures"][0]["cause"]


def test_number_of_tasks_is_limited(serve: Serve) -> None:
    """The error says how many there may be, also where a letter that no text can hold makes the body be read twice."""
    url = serve(max_tasks=2)
    odd = b'{"tasks": [%s], "label_config": "<View/>", "project": "\\ud800"}'
    headers = {"Content-Type": "application/json"}
    statuses = [
        httpx.post(f"{url}/predict", content=odd % b",".join([b"{}"] * count), headers=headers) for count in (2, 3)
    ]
    assert [each.status_code for each in statuses] == [200, 422]
    assert "over 2 tasks (PRELABEL_MAX_TASKS)" in statuses[1].json()["error"]["message"]


def test_task_that_comes_twice_is_an_error(serve: Serve) -> None:
    """There is one task to explain; JSON allows a key twice."""
    body = b'{"task": {}, "task": {}, "label_config": "<View/>"}'
    answer = httpx.post(f"{serve()}/explain", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_no_tasks_is_no_results(serve: Serve) -> None:
    """An empty request is not an error."""
    assert post(serve(), []).json() == {"results": []}


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("/predict", b"{", "the body cannot be parsed as JSON: "),
        ("/predict", b"[]", "Expected `object`, got `array`"),
        ("/predict", b"{}", "missing required field `tasks`"),
        ("/predict", b'{"tasks": {}, "label_config": "<View/>"}', "Expected `array`, got `object` - at `$.tasks`"),
        ("/predict", b'{"tasks": [], "label_config": null}', "Expected `str`, got `null` - at `$.label_config`"),
        ("/predict", b"\xff\xfe", "the body cannot be parsed as JSON: "),
        (
            "/predict",
            b'{"tasks": [{}, 5], "label_config": "<View/>"}',
            "Expected `object`, got `int` - at `$.tasks[1]`",
        ),
        ("/setup", b"{}", "missing required field `schema`"),
    ],
    ids=[
        "cut short",
        "a list",
        "empty object",
        "tasks not a list",
        "no label config",
        "not text",
        "no task at all",
        "setup without config",
    ],
)
def test_malformed_request_says_what_is_wrong(serve: Serve, path: str, content: bytes, words: str) -> None:
    """422 with one sentence, and no trace."""
    answer = httpx.post(serve() + path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_request"
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("GET", "/predict", 405)])
def test_other_errors_are_json_too(serve: Serve, method: str, path: str, status: int) -> None:
    """One shape of error for everything."""
    answer = httpx.request(method, serve() + path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message"}


def test_unexpected_error_shows_no_trace(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 as JSON, and nothing of the inside."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("ml_backend.server.status.ProjectStatuses.of", fail)
    answer = post(serve(), [])
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text


def test_token_in_setup_is_not_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Label Studio sends the token of the project's creator with each /setup."""
    url = serve()
    for schema in (BALLOON_CONFIG, "<View"):
        httpx.post(f"{url}/setup", json={"project": "7.1", "schema": schema, "access_token": "s3cret-token"})
    httpx.post(f"{url}/setup", json={"schema": 5, "access_token": "s3cret-token"})
    assert "label config cannot be served" in caplog.text
    assert "s3cret-token" not in caplog.text + httpx.get(f"{url}/status").text


LONE = b'"\\ud800"'  # JSON can carry half of a surrogate pair, UTF-8 cannot


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/setup", b'{"project": %s, "schema": "<View/>"}' % LONE),
        ("/setup", b'{"project": "1", "schema": %s}' % LONE),
        ("/predict", b'{"tasks": [{"id": %s}], "label_config": "<View/>", "project": "1"}' % LONE),
        ("/predict", b'{"tasks": [{"id": 1, "data": {"image": %s}}], "label_config": %s}' % (LONE, LONE)),
        ("/webhook", b'{"action": %s}' % LONE),
    ],
)
def test_letters_that_cannot_be_written_do_no_harm(serve: Serve, path: str, content: bytes) -> None:
    """Neither the answer nor the page breaks."""
    url = serve()
    headers = {"Content-Type": "application/json"}
    assert httpx.post(url + path, content=content, headers=headers).is_success
    assert httpx.get(f"{url}/status").is_success
    assert httpx.get(f"{url}/status", headers={"Accept": "text/html"}).is_success


def test_what_strangers_send_is_kept_short(serve: Serve) -> None:
    """Ids and causes cannot fill the memory, the page or the log."""
    url = serve()
    post(url, [{"id": "x" * 100_000, "data": {"y" * 100_000: 1}}] * 30, project="z" * 100_000)
    assert len(httpx.get(f"{url}/status").text) < 30_000


@pytest.mark.parametrize("announced", [True, False])
def test_bodies_over_the_limit_are_refused(serve: Serve, announced: bool) -> None:
    """Before they are in memory, whether their length is announced or not."""
    body = b'{"tasks": [], "label_config": "' + b"x" * 20_000 + b'"}'
    content = body if announced else iter([body[:9000], body[9000:18_000], body[18_000:]])
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{serve(request_max_bytes=10_000)}/predict", content=content, headers=headers)
    assert answer.status_code == 413
    assert "PRELABEL_REQUEST_MAX_BYTES" in answer.json()["error"]["message"]


def test_explain_says_what_becomes_of_each_detection(serve: Serve, pictures: PictureServer) -> None:
    """Every raw detection with its fate and the reason, in the order of the scores."""
    body = {
        "task": label_studio_task(1, pictures.add("/a.png", balloon_file())),
        "label_config": BALLOON_CONFIG.replace('"Balloon"', '"Toy"').replace('<Label value="Kite"/>', ""),
    }
    (image,) = httpx.post(f"{serve()}/explain", json=body).json()["images"]
    assert (image["from_name"], image["width"], image["height"]) == ("label", 320, 200)
    first, *others = image["detections"]
    assert (first["number"], first["class_name"], first["label"], first["rule"]) == (1, "Balloon", "Toy", "hierarchy")
    assert first["reason"].startswith("kept as Toy")
    assert {each["fate"] for each in others} == {"below the threshold"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"task": {"id": 1, "data": {}}, "label_config": BALLOON_CONFIG}, 422, "has no 'image'"),
        (
            {"task": {"id": 1, "data": {"image": "http://127.0.0.1:1/a"}}, "label_config": BALLOON_CONFIG},
            502,
            "http://127.0.0.1:1/a could not be fetched as an image; the log of Prelabel says why",
        ),
        ({"task": {}, "label_config": "<View"}, 422, "not valid XML"),
    ],
    ids=["bad task", "unreachable picture", "bad config"],
)
def test_explain_that_fails_says_why(serve: Serve, body: dict[str, Any], status: int, words: str) -> None:
    """There is one picture, so its error is the answer."""
    answer = httpx.post(f"{serve()}/explain", json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_versions_are_those_that_setup_told(serve: Serve) -> None:
    """Without a project in the request, as Label Studio asks."""
    url = serve()
    told = [
        httpx.post(f"{url}/setup", json={"project": f"{number}.1", "schema": config}).json()["model_version"]
        for number, config in enumerate([BALLOON_CONFIG, BALLOON_CONFIG.replace("Kite", "kite")])
    ]
    assert httpx.get(f"{url}/versions").json() == {"versions": told[::-1]}


@pytest.mark.parametrize(
    "content",
    [b'{"action": "ANNOTATION_CREATED"}', b"", b"\xff", b"[]", b'{"action": ' + b"[" * 50_000],
    ids=["event", "empty", "not text", "a list", "deep"],
)
def test_webhook_answers_whatever_comes(serve: Serve, content: bytes) -> None:
    """With basic authentication on, too: Label Studio sends none here."""
    url = serve(basic_auth_user="me", basic_auth_pass="pw")
    answer = httpx.post(f"{url}/webhook", content=content)
    assert (answer.status_code, answer.json()) == (201, {"status": "counted"})
    assert sum(httpx.get(f"{url}/status", auth=("me", "pw")).json()["events"].values()) == 1


def test_drawn_rectangle_is_answered_with_the_object(serve: Serve, pictures: PictureServer) -> None:
    """As Label Studio sends it: one task, and the newest region last in the context."""
    value = {"x": 10, "y": 20, "width": 22, "height": 50, "rotation": 0, "rectanglelabels": ["Box"]}
    drawn = {"id": "oTm7QDHtaf", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}
    body = {
        "tasks": [label_studio_task(1, pictures.add("/a.png", balloon_file()))],
        "project": "7.1",
        "label_config": BALLOON_CONFIG,
        "params": {"login": None, "password": None, "context": {"result": [drawn]}},
    }
    (result,) = httpx.post(f"{serve()}/predict", json=body).json()["results"]
    (region,) = result["result"]
    assert region["value"]["rectanglelabels"] == ["Box"]
    assert region["value"]["x"] == pytest.approx(12.5, abs=0.5)


@pytest.mark.parametrize("params", [None, 5, [], {}, {"context": {}}, {"context": 5}])
def test_odd_params_do_no_harm(serve: Serve, params: object) -> None:
    """Without a rectangle there is nothing to snap to; without a context it is an ordinary request."""
    body = {"tasks": [{"id": 1, "data": {"image": "nonsense"}}], "label_config": BALLOON_CONFIG, "params": params}
    answer = httpx.post(f"{serve()}/predict", json=body)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


def test_deadline_is_kept(serve: Serve, pictures: PictureServer) -> None:
    """Label Studio stores what is there, and asks again for the rest."""
    slow = pictures.add("/slow.png", Answer(balloon_file(), held=True))
    url = serve(predict_deadline=0.5)
    tasks = [label_studio_task(1, slow)]
    assert post(url, tasks).json() == {"results": [[]]}
    failure = httpx.get(f"{url}/status").json()["projects"]["7"]["failures"][0]
    assert "PRELABEL_PREDICT_DEADLINE" in failure["cause"]
    pictures.release()
    wait_until(lambda: post(url, tasks).json()["results"][0])
    assert [path for path, _ in pictures.requests] == ["/slow.png"]


def test_setup_tells_where_the_pictures_are(serve: Serve, pictures: PictureServer) -> None:
    """Where nothing is configured, address and token of ``/setup`` are used for that project."""
    pictures.add("/data/upload/7/a.png", balloon_file())
    url = serve()
    body = {"project": "7.1795326029", "schema": BALLOON_CONFIG, "hostname": pictures.url, "access_token": "0123"}
    httpx.post(f"{url}/setup", json=body)
    task = label_studio_task(1, "/data/upload/7/a.png")
    (result,) = post(url, [task]).json()["results"]
    assert len(result["result"]) == 1
    assert pictures.headers_of("/data/upload/7/a.png")["Authorization"] == "Token 0123"
    for other in ("8.1795326029", "7.1700000000"):  # the second: project 7 of another Label Studio
        assert post(url, [task], project=other).json() == {"results": [[]]}


@pytest.mark.parametrize("hostname", ["http://[", "http://[::1", "http://x:port", "http://", 5, None, "x" * 10_000])
@pytest.mark.parametrize("token", ["", 5, "a." + "W1" * 50_000 + ".c"])
def test_setup_takes_any_hostname_and_token(serve: Serve, hostname: object, token: object) -> None:
    """It has to stay 200."""
    body = {"project": "7.1", "schema": BALLOON_CONFIG, "hostname": hostname, "access_token": token}
    assert httpx.post(f"{serve()}/setup", json=body).status_code == 200


def test_openapi_shows_real_schemas_and_examples(serve: Serve) -> None:
    """Someone who writes a client finds the shapes there."""
    api = httpx.get(serve() + "/openapi.json").json()
    assert {"/health", "/setup", "/predict", "/explain", "/status"} <= set(api["paths"])
    schemas = api["components"]["schemas"]
    body = api["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "image" in str(body["properties"]["tasks"])
    assert schemas["PredictResponse"]["properties"]["results"]["items"]["anyOf"]
    assert schemas["RegionModel"]["properties"]["original_width"]["examples"]


def test_status_is_a_page_for_browsers(serve: Serve, pictures: PictureServer) -> None:
    """What runs, what is probably not meant, and what failed, with everything that came from outside escaped."""
    url = serve()
    post(url, [{"id": "<script>alert(1)</script>", "data": {"image": "<img src=x>"}}])
    httpx.post(f"{url}/webhook", json={"action": "START_TRAINING"})
    page = httpx.get(f"{url}/status", headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"].startswith("text/html")
    for words in (
        "demo-shapes",
        "signature &#39;default&#39;",
        "LABEL_STUDIO_URL is not set",
        "START_TRAINING 1",
        "Project 7",
        "1 failed",
    ):
        assert words in page.text
    assert "<script>" not in page.text
    assert "<img" not in page.text


def test_metrics_count_what_happens(serve: Serve, pictures: PictureServer) -> None:
    """In Prometheus' own format: tasks, runs of the model, and where pictures were found."""
    url = serve()
    tasks = [label_studio_task(1, pictures.add("/a.png", balloon_file())), label_studio_task(2, pictures.url + "/none")]
    for _ in range(2):
        post(url, tasks)
    answer = httpx.get(f"{url}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    figures = {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    expected = {
        "prelabel_tasks_totalpredicted": 2,
        "prelabel_tasks_totalimage_not_fetched": 2,
        "prelabel_model_runs_totaldetector": 1,
        "prelabel_fetches_totaltransfer": 2,
        "prelabel_cache_reads_totaldetectionshitmemory": 1,
        "prelabel_cache_reads_totaldetectionsmisssqlite": 1,
        "prelabel_cache_entriessqlite": 1,
        "prelabel_cache_breaker_opensqlite": 0,
        "prelabel_images_in_flight": 0,
        "prelabel_pictures_in_flight": 0,  # its old name
    }
    assert {name: figures.get(name) for name in expected} == expected


def test_status_shows_the_cache(serve: Serve, redis: RedisServer) -> None:
    """Where it is, and what it does while Redis is away."""
    there = httpx.get(serve(redis_url=redis.url) + "/status").json()["cache"]
    assert [(tier["name"], tier["problem"]) for tier in there] == [("memory", None), ("redis", None)]
    away = serve(redis_url="redis://:s3cret@127.0.0.1:1/0")
    page = httpx.get(f"{away}/status", headers={"Accept": "text/html"}).text
    assert "Prelabel works without it" in page
    assert "s3cret" not in page
