"""The page "Try it" as somebody uses it who has a browser and some pictures."""

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e.browser import chromium
from e2e.servers import Prelabel
from e2e.try_page import SECONDS, OpenPage, Scheme, TryPage, opening
from PIL import Image
from playwright.sync_api import Browser, Route, expect
from samples import balloon_file, encoded, large_scene, stored_as
from subjects import DOG, ELEPHANT, subject_file
from trained.pictures import held_out

Run = Callable[..., Prelabel]

CONFIG = (
    '<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="label" toName="image">\n'
    '    <Label value="Kite"/>\n    <Label value="Balloon"/>\n    <Label value="Box"/>\n  </RectangleLabels>\n</View>'
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Give a function that opens the page."""
    with opening(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, trained_detectors: Path) -> Iterator[Run]:
    """Give a function that starts the service with the tests' own detector, and more settings."""
    started: list[Prelabel] = []

    def start(**settings: str) -> Prelabel:
        folder = tmp_path_factory.mktemp("try-page")
        usual = {
            "PRELABEL_MODEL": str(trained_detectors / "hub"),
            "TFHUB_CACHE_DIR": str(models_dir),
            "PRELABEL_HOME": str(folder),
        }
        started.append(Prelabel(folder, None, usual | settings))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def service(run: Run) -> str:
    """Give the address of a service with a detector."""
    return run().url


@pytest.fixture(scope="module")
def both(run: Run, subject_classifier_dir: Path) -> str:
    """Give the address of a service with a detector and a classifier."""
    return run(PRELABEL_CLASSIFIER=str(subject_classifier_dir)).url


@pytest.fixture
def shown(open_page: OpenPage, service: str) -> TryPage:
    """Give the page with two pictures, whose classes are proposed as labels."""
    shown = open_page(service)
    shown.choose(*pictures(2))
    return shown


def pictures(count: int) -> list[tuple[str, bytes]]:
    """Return drawn pictures with several objects."""
    chosen = [picture for picture in held_out(10) if len(picture.objects) > 3][:count]
    return [(picture.name, picture.file()) for picture in chosen]


def thresholds(text: str) -> dict[str, str | None]:
    """Return the thresholds in a label config by the value of the tag, or its name."""
    return {
        each.get("value", each.get("name", "")): each.get("model_score_threshold")
        for each in ET.fromstring(text).iter()  # noqa: S314 - the page has written it
        if each.tag != "Image" and (each.get("value") or each.get("name"))
    }


def explained(url: str, picture: bytes, text: str) -> Any:
    """Return what ``/explain`` says of a picture."""
    task = {"id": 1, "data": {"image": "data:;base64," + base64.b64encode(picture).decode()}}
    return httpx.post(f"{url}/explain", json={"task": task, "label_config": text}).json()


# ---- Pictures ----


@pytest.mark.parametrize("way", ["choose", "drop"])
def test_pictures_propose_their_labels(open_page: OpenPage, service: str, way: str) -> None:
    """Boxes are drawn at once, the classes that are seen become labels, and the numbers are those of ``/explain``."""
    shown = open_page(service)
    files = pictures(3)
    getattr(shown, way)(*files)
    assert set(shown.labels) <= {"Kite", "Balloon", "Box"}
    assert len(shown.labels) >= 2
    expect(shown.page.locator("#thumbnails button")).to_have_count(3)
    for number, (_, data) in enumerate(files):
        shown.page.locator("#thumbnails button").nth(number).click()
        detections = explained(service, data, shown.config)["images"][0]["detections"]
        kept = sorted(
            ((each["label"], each["reason"].split()[-1]) for each in detections if each["fate"] == "kept"),
            key=lambda each: each[1],
        )
        assert sorted(((name, score) for name, score, _ in shown.table()), key=lambda each: each[1]) == kept
        expect(shown.boxes).to_have_count(len(kept))
        expect(shown.page.locator("#thumbnails button").nth(number).locator("span")).to_have_text(str(len(kept)))


def test_a_second_heap_of_pictures_is_added(shown: TryPage) -> None:
    """Labels follow what is seen until somebody chooses."""
    shown.drop(("balloon.png", balloon_file()))
    expect(shown.page.locator("#thumbnails button")).to_have_count(3)
    expect(shown.page.get_by_role("button", name="balloon.png")).to_be_visible()


@pytest.mark.parametrize("orientation", [1, 6, 3])
def test_boxes_lie_over_their_objects(open_page: OpenPage, service: str, orientation: int) -> None:
    """Also where the file is stored lying on its side: the frame is the picture as it is displayed."""
    picture = next(picture for picture in held_out(10) if len(picture.objects) > 3)
    shown = open_page(service)
    shown.choose(("turned.jpg", stored_as(orientation, picture.image, "JPEG", quality=95)))
    frame = shown.page.locator(".picture").bounding_box()
    assert frame is not None
    assert frame["width"] / frame["height"] == pytest.approx(480 / 320, rel=0.01)
    box = shown.boxes.last.bounding_box()
    assert box is not None
    row = shown.boxes.last.get_attribute("style") or ""
    left = float(re.search(r"left: ([\d.]+)%", row)[1]) / 100  # type: ignore[index]
    assert box["x"] == pytest.approx(frame["x"] + left * frame["width"], abs=2)


def test_bad_files_are_told_one_by_one(open_page: OpenPage, service: str) -> None:
    """The good ones among them are shown; each sentence has the name of its file and can be dismissed."""
    shown = open_page(service)
    shown.choose(("notes.txt", b"hello"), *pictures(1), ("empty.png", b""), ("half.png", balloon_file()[:300]))
    expect(shown.page.locator("#thumbnails button")).to_have_count(1)
    problems = shown.page.locator("#problems p")
    expect(problems).to_have_count(3)
    for place, (name, words) in enumerate((("notes.txt", "not a known image"), ("empty.png", "empty"), ("half.png", "truncated"))):  # fmt: skip
        expect(problems.nth(place)).to_contain_text(name)
        expect(problems.nth(place)).to_contain_text(words)
    for _ in range(3):
        problems.first.get_by_role("button").click()
    expect(problems).to_have_count(0)


def test_a_picture_that_fails_later_does_not_stop_the_others(open_page: OpenPage, service: str) -> None:
    """The service ends in the middle: it is told, the progress goes, and what comes after is read."""
    shown = open_page(service)
    failed: list[str] = []

    def fail_once(route: Route) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.abort()

    shown.page.route("**/try/decisions", fail_once)
    shown.choose(*pictures(3))
    expect(shown.page.locator("#problems p")).to_contain_text("does not answer")
    assert len(shown.labels) >= 2
    shown.wrong.clear()


def test_heaps_that_come_at_once_are_read_one_after_the_other(open_page: OpenPage, service: str) -> None:
    """Somebody drops more while the first ones are read: all are there, each once, and nothing is left in progress."""
    shown = open_page(service)
    files = pictures(3)
    first: list[Any] = [{"name": files[0][0], "mimeType": "", "buffer": files[0][1]}]
    shown.page.set_input_files("#files", first)
    shown.drop(*files[1:])
    expect(shown.page.locator("#thumbnails button")).to_have_count(3)
    shown.wait_until_read()
    assert len(set(shown.page.locator("#thumbnails img").evaluate_all("(all) => all.map((each) => each.alt)"))) == 3


def test_file_that_cannot_be_read_is_told(open_page: OpenPage, service: str, tmp_path: Path) -> None:
    """Such as a folder, or a file that is gone: it is not the service that fails."""
    shown = open_page(service)
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(pictures(1)[0][1])
    shown.page.evaluate("document.getElementById('files').addEventListener('change', (event) => event.stopImmediatePropagation(), {capture: true, once: true})")  # fmt: skip
    shown.page.set_input_files("#files", gone)
    gone.unlink()
    shown.page.dispatch_event("#files", "change")
    expect(shown.page.locator("#problems p")).to_contain_text("gone.jpg: it cannot be read")
    shown.wrong.clear()  # the browser cannot show it either


def test_service_without_a_cache_is_told(open_page: OpenPage, run: Run) -> None:
    """The page needs it, and says so once for each picture."""
    shown = open_page(run(PRELABEL_CACHE="none").url)
    shown.choose(*pictures(1))
    expect(shown.page.locator("#problems p")).to_contain_text("cache")
    expect(shown.page.locator("#thumbnails button")).to_have_count(0)


def test_file_that_the_browser_cannot_show_has_its_boxes(open_page: OpenPage, service: str) -> None:
    """TIFF is one that Chromium cannot: the place of the picture has its shape, and the list its rows."""
    shown = open_page(service)
    picture = next(picture for picture in held_out(10) if len(picture.objects) > 3)
    shown.choose(("scan.tiff", encoded(picture.image, "TIFF")))
    frame = shown.page.locator(".picture").bounding_box()
    assert frame is not None
    assert frame["width"] / frame["height"] == pytest.approx(480 / 320, rel=0.01)
    expect(shown.rows.first).to_be_visible()


def test_pictures_can_be_taken_away(shown: TryPage) -> None:
    """A wrong one would go on proposing its labels."""
    first, second = (shown.page.locator("#thumbnails button").nth(number) for number in (0, 1))
    expect(first).to_have_attribute("aria-pressed", "true")
    name = shown.page.locator("#thumbnails img").first.get_attribute("alt")
    shown.page.get_by_role("button", name="Remove this picture").click()
    expect(shown.page.locator("#thumbnails button")).to_have_count(1)
    assert shown.page.locator("#thumbnails img").first.get_attribute("alt") != name
    shown.page.get_by_role("button", name="Remove this picture").click()
    expect(shown.page.locator("#thumbnails button")).to_have_count(0)
    expect(shown.page.locator(".view")).to_have_count(0)
    shown.choose(*pictures(1))
    expect(shown.boxes.first).to_be_visible()
    assert second


# ---- Thresholds ----


def test_slider_moves_boxes_without_asking(shown: TryPage) -> None:
    """By mouse: the boxes follow while it moves, and the text follows when it is let go."""
    label = shown.labels[0]
    before = shown.boxes.count()
    asked = len(shown.asked)
    place = shown.slider(label).bounding_box()
    assert place is not None
    middle = place["y"] + place["height"] / 2
    text = shown.config
    shown.page.mouse.move(place["x"] + place["width"] * 0.3, middle)
    shown.page.mouse.down()
    counts = []
    for share in (0.0, 0.1, 0.5, 0.8, 1.0):
        shown.page.mouse.move(place["x"] + place["width"] * share, middle)
        counts.append(shown.boxes.count())
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= before > counts[-1]
    assert shown.config == text
    shown.page.mouse.up()
    assert thresholds(shown.config)[label] == "1"
    assert len(shown.asked) == asked


def test_slider_moves_by_keyboard_and_keeps_the_focus(shown: TryPage) -> None:
    """Each key is a hundredth; the numbers beside the slider and in the text are the same."""
    label = shown.labels[0]
    slider = shown.slider(label)
    asked = len(shown.asked)
    slider.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "PageUp"):
        shown.page.keyboard.press(key)
    expect(slider).to_be_focused()
    value = slider.input_value()
    assert thresholds(shown.config)[label] == value
    row = shown.page.locator("#controls .labels li").filter(has_text=label)
    expect(row.locator("output")).to_have_text(f"{float(value):.2f}")
    shown.page.keyboard.press("End")
    expect(row.locator("small")).to_contain_text("0 of")
    assert len(shown.asked) == asked


def test_one_slider_moves_all(shown: TryPage) -> None:
    """The threshold is that of the control, and no label keeps its own."""
    shown.slider(shown.labels[0]).fill("0.9")
    assert thresholds(shown.config)[shown.labels[0]] == "0.9"
    shown.slider("all").fill("0.45")
    assert {key: value for key, value in thresholds(shown.config).items() if value} == {"label": "0.45"}
    for label in shown.labels:
        assert shown.slider(label).input_value() == "0.45"


def test_threshold_of_a_pair_of_tags_is_that_of_the_drawing_one(open_page: OpenPage, service: str) -> None:
    """Its attributes win over those of the other tag, so the slider changes it there."""
    shown = open_page(service)
    shown.choose(*pictures(1))
    shown.write(
        '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image" model_score_threshold="0.9"/>'
        '<Labels name="kind" toName="image"><Label value="Kite"/><Label value="Box"/></Labels></View>'
    )
    shown.slider("all").fill("0.25")
    shown.write(shown.config)
    assert thresholds(shown.config)["box"] == "0.25"
    assert shown.slider("all").input_value() == shown.slider("Kite").input_value() == "0.25"


def test_numbers_are_those_of_explain(open_page: OpenPage, service: str) -> None:
    """With thresholds of labels, a limit, suppression across labels and an alias: fates, scores and reasons."""
    shown = open_page(service)
    name, data = pictures(1)[0]
    text = CONFIG.replace(
        '"label" toName="image"', '"label" toName="image" model_nms_across_labels="true" model_max_regions="3"'
    )
    shown.write(text.replace('<Label value="Box"/>', '<Label value="Box" alias="B &amp; &lt;1>"/>'))
    shown.choose((name, data))
    shown.page.check("#hidden-too")
    for value in ("0.05", "0.37", "0.7"):
        shown.slider("Kite").fill(value)
        detections = explained(service, data, shown.config)["images"][0]["detections"]
        shown_scores = {(row[0], row[1]) for row in shown.table()}
        hidden = sorted(each["reason"] for each in detections if each["fate"] != "kept")
        kept = [each for each in detections if each["fate"] == "kept"]
        dropped = shown.page.locator(".found li.dropped:not([hidden]) small").all_inner_texts()
        assert sorted(dropped) == hidden
        expect(shown.boxes.and_(shown.page.locator(":not(.dropped)"))).to_have_count(len(kept))
        assert {(each["label"], each["reason"].split()[-1]) for each in kept} <= shown_scores


def test_hover_and_focus_tell_fate_and_reason(shown: TryPage) -> None:
    """The same from a box, from its row, and by keyboard."""
    reason = shown.page.locator(".reason")
    shown.rows.first.hover()
    expect(reason).to_contain_text(re.compile(r"kept as \w+ [01]\.\d\d"))
    expect(shown.page.locator(".box.pointed")).to_have_count(1)
    shown.page.mouse.move(0, 0)
    expect(reason).to_be_empty()
    shown.boxes.last.hover()
    expect(shown.page.locator(".found li.pointed")).to_have_count(1)
    expect(reason).to_contain_text("kept as")
    shown.rows.nth(1).get_by_role("button").focus()
    expect(shown.page.locator(".box.pointed")).to_have_count(1)
    expect(reason).to_contain_text(shown.table()[1][1])


def test_hidden_ones_are_shown_on_demand(shown: TryPage) -> None:
    """Each with why it is hidden."""
    shown.slider("all").fill("0.9")
    before = shown.rows.count()
    shown.page.get_by_label("Show also what is hidden").check()
    assert shown.rows.count() > before
    hidden = shown.page.locator(".found li.dropped:not([hidden])").first
    hidden.hover()
    expect(shown.page.locator(".reason")).to_contain_text("below the threshold: below 0.90")
    shown.page.get_by_label("Show also what is hidden").uncheck()
    expect(shown.rows).to_have_count(before)


# ---- Labels ----


def test_label_that_nothing_reaches_is_marked_while_typing(shown: TryPage) -> None:
    """Near classes are offered, and choosing one puts it into the text."""
    shown.write(CONFIG.replace('"Balloon"', '"Ballon"'))
    expect(shown.page.locator("#marks mark")).to_have_text('value="Ballon"')
    near = shown.page.get_by_role("button", name="Use Balloon for Ballon")
    near.click()
    expect(shown.page.locator("#marks mark")).to_have_count(0)
    assert 'predicted_values="Balloon"' in shown.config
    expect(shown.page.locator("#controls small", has_text=re.compile("^[1-9]")).first).to_be_visible()


def test_all_labels_can_be_wrong_at_first(open_page: OpenPage, service: str) -> None:
    """A config of which nothing is served has marks and offers too."""
    shown = open_page(service)
    shown.choose(*pictures(1))
    shown.write(CONFIG.replace("Kite", "Kitee").replace("Balloon", "Balon").replace("Box", "Boxx"))
    expect(shown.page.locator("#marks mark")).to_have_count(3)
    shown.page.get_by_role("button", name="Use Kite for Kitee").click()
    expect(shown.page.locator("#marks mark")).to_have_count(2)
    shown.page.get_by_role("button", name="Use Balloon for Balon").click()
    expect(shown.page.locator("#marks mark")).to_have_count(1)


def test_what_else_is_seen_is_added_with_a_button(shown: TryPage) -> None:
    """By keyboard: the focus goes on to the next one."""
    shown.write(CONFIG.replace('    <Label value="Balloon"/>\n', "").replace('    <Label value="Kite"/>\n', ""))
    assert shown.labels == ["Box"]
    buttons = shown.page.locator("#missed li button")
    count = buttons.count()
    assert count >= 1
    name = buttons.first.inner_text().split()[1]
    buttons.first.focus()
    shown.page.keyboard.press("Enter")
    expect(buttons).to_have_count(count - 1)
    assert shown.labels == ["Box", name]
    focused = shown.page.evaluate("document.activeElement.tagName")
    assert focused != "BODY"


def test_classes_are_found_in_the_tree_and_added(shown: TryPage) -> None:
    """The search shows those that fit with those above them; the added class tells its label, and the tree stays as it was."""
    shown.page.get_by_text("Classes and their labels").click()
    shown.page.get_by_label("Search classes and labels").fill("person")
    add = shown.page.get_by_role("button", name="Add Person", exact=True)
    add.click()
    expect(shown.page.locator("#trees li:visible b", has_text="→ Person").first).to_be_visible()
    assert "Person" in shown.labels
    expect(shown.page.locator("#search-count")).to_contain_text("found")
    shown.page.get_by_label("Search classes and labels").fill("")
    opened = shown.page.locator("#trees details").first
    opened.locator("summary").first.click()
    expect(opened).to_have_attribute("open", "")
    inside = opened.get_by_role("button", name=re.compile("^Add ")).filter(visible=True).first
    inside.click()
    shown.wait_until_quiet()
    expect(shown.page.locator("#trees details").first).to_have_attribute("open", "")
    assert shown.page.evaluate("document.activeElement.tagName") != "BODY"


def test_label_is_added_by_name_and_removed(shown: TryPage) -> None:
    """By keyboard, both; after removing, the focus is on the next label's button."""
    before = shown.labels
    shown.page.get_by_label("Another label").fill("Car")
    shown.page.keyboard.press("Enter")
    expect(shown.page.get_by_role("button", name="Remove Car")).to_be_visible()
    assert shown.labels == [*before, "Car"]
    shown.page.get_by_role("button", name=f"Remove {before[0]}").focus()
    shown.page.keyboard.press("Enter")
    expect(shown.page.get_by_role("button", name=f"Remove {before[0]}")).to_have_count(0)
    assert shown.labels == [*before[1:], "Car"]
    expect(shown.page.get_by_role("button", name=f"Remove {before[1]}")).to_be_focused()
    assert f'"{before[0]}"' not in shown.config


def test_text_and_choice_meet_while_an_answer_is_on_its_way(shown: TryPage) -> None:
    """A label is added, and a slider moved before the answer: both are there at the end."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    shown.page.route("**/try/label-config", hold)
    shown.page.get_by_label("Another label").fill("Car")
    shown.page.keyboard.press("Enter")
    label = shown.labels[0]
    with shown.page.expect_request("**/try/label-config"):
        shown.slider(label).fill("0.77")
    for route in held:
        route.continue_()
    shown.page.unroute("**/try/label-config")
    expect(shown.page.get_by_role("button", name="Remove Car")).to_be_visible()
    assert thresholds(shown.config)[label] == "0.77"
    assert shown.slider(label).input_value() == "0.77"


def test_mended_threshold_brings_the_boxes_back(open_page: OpenPage, service: str) -> None:
    """Pictures that came while a threshold could not be read have the decisions of the config as it is now."""
    shown = open_page(service)
    wrong = CONFIG.replace('"label" toName="image"', '"label" toName="image" model_score_threshold="0,5"')
    shown.write(wrong)
    expect(shown.page.locator("#config-problem")).to_contain_text("0,5")
    shown.choose(*pictures(1))
    shown.write(wrong.replace("0,5", "0.5"))
    expect(shown.page.locator(".found li:not([hidden]):not(.dropped)").first).to_be_visible()
    assert shown.page.locator("#controls .all output").inner_text() == "0.50"


def test_text_can_be_dragged_within_the_page(shown: TryPage) -> None:
    """Only files are caught by the page."""
    caught = shown.page.evaluate(
        """() => {
            const carried = new DataTransfer();
            carried.setData('text/plain', 'Car');
            const event = new DragEvent('drop', {dataTransfer: carried, bubbles: true, cancelable: true});
            document.getElementById('config').dispatchEvent(event);
            return event.defaultPrevented;
        }"""
    )
    assert caught is False


def test_copy_takes_the_config_along(shown: TryPage) -> None:
    """Thresholds included; Label Studio takes what is on the clipboard."""
    shown.slider(shown.labels[0]).fill("0.6")
    shown.page.get_by_role("button", name="Copy the label config").click()
    expect(shown.page.locator("#copied")).to_contain_text("Copied")
    copied = shown.page.evaluate("navigator.clipboard.readText()")
    assert copied == shown.config
    assert 'model_score_threshold="0.6"' in copied


def test_copy_works_without_https(open_page: OpenPage, service: str) -> None:
    """There browsers have no clipboard for scripts; the focus stays on the button."""
    shown = open_page(service)
    shown.choose(*pictures(1))
    shown.page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    shown.page.get_by_role("button", name="Copy the label config").click()
    expect(shown.page.locator("#copied")).to_contain_text("Copied")
    expect(shown.page.get_by_role("button", name="Copy the label config")).to_be_focused()


def test_what_is_seen_first_is_no_error(open_page: OpenPage, both: str) -> None:
    """A label config without labels cannot be served; somebody who has just come is told what to do instead."""
    shown = open_page(both)
    expect(shown.page.locator("#config-problem")).to_contain_text("Add pictures")
    shown.write("<View/>")
    expect(shown.page.locator("#config-problem .problem")).to_contain_text("no control tag")


# ---- Choices and tiles ----


def test_choices_beside_boxes(open_page: OpenPage, both: str) -> None:
    """What the classifier sees becomes a choice with a slider, whose score is that of ``/explain``."""
    shown = open_page(both)
    picture = subject_file(0, ELEPHANT)
    shown.choose(("elephant.jpg", picture), ("dog.jpg", subject_file(1, DOG)))
    (answer,) = explained(both, picture, shown.config)["classifications"]
    kept = [each for each in answer["choices"] if each["fate"] == "kept"]
    assert [each["choice"] for each in kept] == ["Indian elephant"]
    rows = {name: score for name, score, _ in shown.table()}
    assert rows["Indian elephant"] == f"{kept[0]['score']:.2f}"
    shown.slider("Indian elephant").fill("1")
    assert "Indian elephant" not in {name for name, _, _ in shown.table()}
    shown.page.select_option("#new-kind", "classifier")
    shown.page.locator("#new-label").fill("Zebra")
    shown.page.keyboard.press("Enter")
    expect(shown.page.get_by_role("button", name="Remove Zebra")).to_be_visible()
    assert shown.config.count("<Choice ") == shown.config.count('predicted_values="n') + 1


TREE = (
    '<View><Image name="image" value="$image"/><Taxonomy name="choice" toName="image">'
    '<Choice value="Animal"><Choice value="Dog"/><Choice value="Other" predicted_values="zebra"/></Choice>'
    '<Choice value="Large"><Choice value="Other" predicted_values="Indian elephant"/></Choice></Taxonomy></View>'
)


def test_choices_of_one_name_in_a_tree_are_two(open_page: OpenPage, both: str) -> None:
    """Each has its own slider, and its own threshold in the text; removing one leaves the other."""
    shown = open_page(both)
    shown.choose(("elephant.jpg", subject_file(0, ELEPHANT)))
    shown.write(TREE)
    assert shown.labels == ["Animal", "Animal / Dog", "Animal / Other", "Large", "Large / Other"]
    shown.slider("Large / Other").fill("0.7")
    animal, large = shown.config.split("Large")
    assert "model_score_threshold" not in animal
    assert 'model_score_threshold="0.7"' in large
    shown.page.get_by_role("button", name="Remove Animal / Other").click()
    expect(shown.page.get_by_role("button", name="Remove Animal / Other")).to_have_count(0)
    assert "zebra" not in shown.config
    assert "Indian elephant" in shown.config


@pytest.fixture(scope="module")
def large_picture() -> tuple[str, bytes]:
    """Give a large picture with a near balloon and a far one."""
    return "large.png", encoded(Image.fromarray(large_scene()))


def test_tiles_stand_beside_the_whole_picture(open_page: OpenPage, service: str, large_picture: tuple[str, bytes]) -> None:  # fmt: skip
    """What only tiles find is on one side; the text says how many tiles, and goes back to none."""
    shown = open_page(service)
    shown.choose(*pictures(1))
    expect(shown.page.locator("#tiles-option")).to_be_hidden()
    shown.choose(large_picture)
    shown.page.get_by_role("button", name="large.png").click()
    expect(shown.page.locator("#tiles-option")).to_be_visible()
    shown.page.get_by_label("Tiles", exact=True).select_option("4")
    shown.wait_until_quiet()
    assert 'model_tiles="4"' in shown.config
    shown.page.get_by_label("beside the picture without tiles").check()
    shown.wait_until_quiet()
    views = shown.page.locator(".view")
    expect(views).to_have_count(2)
    expect(views.nth(0)).to_contain_text("with tiles")
    expect(views.nth(1)).to_contain_text("without tiles")
    expect(views.nth(0).locator(".found li:not([hidden])", has_text="in tile").first).to_be_visible()
    expect(views.nth(1).locator(".found li:not([hidden])", has_text="in tile")).to_have_count(0)
    shown.assert_nothing_runs_off()
    shown.screenshot("tiles-1280-light")
    shown.page.get_by_label("Tiles", exact=True).select_option("0")
    shown.wait_until_quiet()
    expect(views).to_have_count(1)
    assert "model_tiles" not in shown.config


def test_tiles_of_a_pasted_config_are_chosen(open_page: OpenPage, service: str, large_picture: tuple[str, bytes]) -> None:  # fmt: skip
    """The list tells what the text says, so both can stand side by side."""
    shown = open_page(service)
    shown.choose(large_picture)
    shown.write(CONFIG.replace('"label" toName="image"', '"label" toName="image" model_tiles="3"'))
    expect(shown.page.locator("#tiles")).to_have_value("3")
    shown.write(CONFIG)
    expect(shown.page.locator("#tiles")).to_have_value("0")


# ---- Hostile names ----

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>",
    "quotes": "\"'`>&amp;</textarea><script>alert(1)</script>",
    "right to left": "\u202egnp.exe\u202c مرحبا",
    "long": "long" * 75,
    "a selector": "#a .b [c] \\ \n",
    "a key of objects": "__proto__",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_names_are_texts(open_page: OpenPage, service: str, name: str, width: int) -> None:
    """Names of files and labels are shown as they are, in thumbnails, rows, boxes and sentences, and stay within the page."""
    shown = open_page(service, width=width)
    shown.page.on("dialog", lambda dialog: shown.wrong.append(dialog.message))
    shown.choose((f"{name}.jpg", pictures(1)[0][1]), (f"{name}.txt", b"hello"))
    attribute = ET.tostring(ET.Element("Label", value=name, predicted_values="Kite,Balloon,Box"), encoding="unicode")
    unreached = ET.tostring(ET.Element("Label", value=f"{name}2"), encoding="unicode")
    shown.write(re.sub("<Label.*/>", "", CONFIG).replace("</RectangleLabels>", f"{attribute}{unreached}</RectangleLabels>"))  # fmt: skip
    shown.slider("all").fill("0.2")
    expect(shown.page.locator(".found li:not([hidden]) b").first).to_have_text(name)
    shown.rows.first.hover()
    expect(shown.page.locator(".reason")).to_contain_text("kept as")
    assert shown.page.locator("#problems").inner_text() != ""
    assert shown.page.locator("img[src=x], #try script").count() == 0
    shown.assert_nothing_runs_off()
    shown.page.get_by_text("Classes and their labels").click()
    shown.page.locator("#controls .labels button").first.click()
    shown.wait_until_quiet()
    assert shown.config.count("<Label ") == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("<View", id="not XML"),
        pytest.param("<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>", id="a page"),
        pytest.param('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>', id="a file"),
        pytest.param('<?xml version="1.0"?><?xml-stylesheet href="https://example.org/x.xsl"?><View/>', id="a style"),
        pytest.param('<View><Image name="a" value="$a"/>' + "<View>" * 300 + "</View>" * 300 + "</View>", id="deep"),
        pytest.param("&" * 1000, id="entities"),
        pytest.param("\u202e\x01\ufffe", id="letters that XML has not"),
        pytest.param(CONFIG.replace("Kite", "&lt;img src=x onerror=alert(1)&gt;"), id="markup in a label"),
        pytest.param(CONFIG.replace("<Label", "<Label model_score_threshold='2'"), id="a threshold that is none"),
        pytest.param(CONFIG.replace("View>", "view>"), id="another case"),
    ],
)
def test_hostile_configs_are_texts(shown: TryPage, text: str) -> None:
    """The page tells the problem, stays usable, and takes a good config afterwards."""
    shown.page.on("dialog", lambda dialog: shown.wrong.append(dialog.message))
    shown.write(text)
    shown.page.get_by_label("Another label").fill("Car")
    shown.page.keyboard.press("Enter")
    shown.wait_until_quiet()
    shown.write(CONFIG)
    assert shown.labels == ["Kite", "Balloon", "Box"]
    expect(shown.page.locator(".found li:not([hidden]):not(.dropped)").first).to_be_visible()


# ---- Everybody ----


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_for_everybody(open_page: OpenPage, both: str, width: int, scheme: Scheme, large_picture: tuple[str, bytes]) -> None:  # fmt: skip
    """Empty and filled: axe finds nothing serious, and nothing runs off the page."""
    shown = open_page(both, width=width, scheme=scheme)
    _assert_accessible(shown)
    shown.screenshot(f"empty-{width}-{scheme}")
    shown.choose(*pictures(2), ("dog.jpg", subject_file(1, DOG)), large_picture, ("notes.txt", b"hello"))
    shown.page.check("#hidden-too")
    shown.page.get_by_text("Classes and their labels").click()
    shown.page.get_by_label("Search classes and labels").fill("ball")
    shown.page.locator("#new-label").fill("Ballooon")
    shown.page.keyboard.press("Enter")
    shown.wait_until_quiet()
    shown.rows.first.hover()
    _assert_accessible(shown)
    shown.screenshot(f"filled-{width}-{scheme}")


def _assert_accessible(shown: TryPage) -> None:
    found = Axe().run(shown.page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in {"serious", "critical"}] == []
    shown.assert_nothing_runs_off()


def test_page_is_used_by_keyboard_alone(open_page: OpenPage, service: str) -> None:
    """The way from the pictures to the copied config, by Tab, letters and Enter."""
    shown = open_page(service)
    shown.choose(*pictures(2))

    def tab_to(name: str) -> None:
        for _ in range(200):
            shown.page.keyboard.press("Tab")
            if shown.page.evaluate(
                "(name) => { const at = document.activeElement; return (at.ariaLabel ?? at.labels?.[0]?.textContent ?? at.textContent).includes(name) || at.querySelector('img')?.alt.includes(name) }",
                name,
            ):
                return
        pytest.fail(f"Tab does not reach {name}")

    shown.page.locator("body").press("Home")
    tab_to(pictures(2)[1][0])
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#thumbnails button").nth(1)).to_be_focused()
    tab_to("Show also what is hidden")
    shown.page.keyboard.press("Space")
    tab_to("all")
    shown.page.keyboard.press("ArrowRight")
    tab_to("Another label")
    shown.page.keyboard.type("Car")
    shown.page.keyboard.press("Enter")
    expect(shown.page.get_by_role("button", name="Remove Car")).to_be_visible()
    tab_to("Copy the label config")
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#copied")).to_contain_text("Copied", timeout=SECONDS)
    assert 'value="Car"' in shown.page.evaluate("navigator.clipboard.readText()")
