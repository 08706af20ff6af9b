"""What the annotator sees: the labelling page of a real Label Studio in a real browser, on the project's own scenes."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.browser import SCREENSHOTS, SHOWN, log_in
from e2e.servers import LabelStudio, Prelabel, StartPrelabel
from PIL import Image
from playwright.sync_api import Page
from samples import encoded, stored_as

from ml_backend.demo.scenes import SIZE, draw_scene, encode
from ml_backend.images.decoding.decode import decode

CONFIG = (Path(__file__).parent.parent.parent / "label_config" / "demo.xml").read_text()


@pytest.fixture(scope="module")
def server(start_prelabel: StartPrelabel) -> Iterator[Prelabel]:
    """Start the service with the demo detector."""
    running = start_prelabel(PRELABEL_MODEL="demo")
    yield running
    running.stop()


@pytest.mark.parametrize(("seed", "orientation"), [(4, 1), (12, 6)], ids=["upright", "stored lying on its side"])
def test_boxes_lie_over_the_objects(
    label_studio: LabelStudio, server: Prelabel, page: Page, seed: int, orientation: int
) -> None:
    """Each drawn object has its box and its label when the page opens, and there are no others."""
    image, drawn = draw_scene(seed)
    project = label_studio.create_project(CONFIG, title="Kites and balloons")
    label_studio.upload(project, "scene.jpg", encode(image, orientation=orientation))
    label_studio.connect(project, server.url)
    (task,) = label_studio.tasks(project)

    log_in(page, label_studio.url)
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task['id']}")
    ready = f"() => {{ const now = ({SHOWN})(); return now.size && now.regions.length === {len(drawn)} && now; }}"
    shown: dict[str, Any] = page.wait_for_function(ready, timeout=90_000).json_value()
    page.wait_for_timeout(1000)  # for the canvas to be painted
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"label-studio-{orientation}.png")

    assert tuple(shown["size"]) == SIZE
    for thing in drawn:
        expected = (
            100 * thing.left / SIZE[0],
            100 * thing.top / SIZE[1],
            100 * thing.right / SIZE[0],
            100 * thing.bottom / SIZE[1],
        )
        boxes = [
            (region["left"], region["top"], region["right"], region["bottom"])
            for region in shown["regions"]
            if region["labels"] == [thing.class_name]
        ]
        assert min(max(abs(a - b) for a, b in zip(box, expected, strict=True)) for box in boxes) < 1


def test_auto_accept_keeps_a_drawn_rectangle(label_studio: LabelStudio, server: Prelabel, page: Page) -> None:
    """Around an object it becomes the object's box; where nothing is found it stays as it was drawn."""
    image, (thing, *_) = draw_scene(4)
    # No box comes by itself, and every object is still found where somebody points at it.
    config = CONFIG.replace('smart="true"', 'smart="true" model_min_area="100"')
    project = label_studio.create_project(config, title="Drawn by hand")
    label_studio.upload(project, "scene.jpg", encode(image))
    label_studio.connect(project, server.url, is_interactive=True)
    (task,) = label_studio.tasks(project)

    log_in(page, label_studio.url)
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task['id']}")
    page.wait_for_function(f"() => ({SHOWN})().size", timeout=90_000)
    for toggle in ("auto-annotation", "auto-accept"):
        page.get_by_test_id(f"bottombar-{toggle}-toggle").check(force=True)
    page.locator(".lsf-toolbar__smart .lsf-tool").first.dispatch_event("click")
    frame = page.locator("canvas").first.bounding_box()
    assert frame is not None
    margin = 4
    around = (thing.left - margin, thing.top - margin, thing.right + margin, thing.bottom + margin)
    beside = (SIZE[0] * 0.002, SIZE[1] * 0.002, SIZE[0] * 0.04, SIZE[1] * 0.05)
    for number, (left, top, right, bottom) in enumerate((around, beside), 1):
        across, down = frame["width"] / SIZE[0], frame["height"] / SIZE[1]
        page.locator(".lsf-label", has_text="Kite").first.click()
        page.mouse.move(frame["x"] + left * across, frame["y"] + top * down)
        page.mouse.down()
        page.mouse.move(frame["x"] + right * across, frame["y"] + bottom * down, steps=5)
        page.mouse.up()
        page.wait_for_function(
            f"""() => window.Htx.annotationStore.store.awaitingSuggestions === false
                && ({SHOWN})().regions.length === {number}
                && window.Htx.annotationStore.selected.regions.every(region => !region.dynamic)""",
            timeout=30_000,
        )
    snapped, kept = page.evaluate(SHOWN)["regions"]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "auto-accept.png")
    for region, expected in ((snapped, (thing.left, thing.top, thing.right, thing.bottom)), (kept, beside)):
        assert region["labels"] == ["Kite"]
        percent = [100 * edge / side for edge, side in zip(expected, SIZE * 2, strict=True)]
        assert [region[side] for side in ("left", "top", "right", "bottom")] == pytest.approx(percent, abs=1)


SIZE_SHOWN = "() => { const image = document.querySelector('img'); return [image.naturalWidth, image.naturalHeight]; }"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "AVIF", "WEBP"])
def test_pictures_are_decoded_in_the_frame_that_the_browser_shows(page: Page, file_format: str) -> None:
    """Percentages are of that frame, so whether a format's EXIF orientation counts is the browser's decision."""
    data = stored_as(6, Image.new("RGB", (80, 60), "red"), file_format)
    page.set_content(f'<img src="data:image/{file_format.lower()};base64,{base64.b64encode(data).decode()}">')
    page.wait_for_function("() => document.querySelector('img').complete")
    height, width, _ = decode(data, max_pixels=10_000).pixels.shape
    assert page.evaluate(SIZE_SHOWN) == [width, height]


def test_orientation_in_xmp_alone_does_not_turn_a_picture(page: Page) -> None:
    """Some editors write it there only; neither the browser nor we read it."""
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    data = encoded(Image.new("RGB", (80, 60), "red"), "JPEG", xmp=xmp)
    page.set_content(f'<img src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">')
    page.wait_for_function("() => document.querySelector('img').complete")
    assert page.evaluate(SIZE_SHOWN) == [80, 60]
    assert decode(data, max_pixels=10_000).pixels.shape == (60, 80, 3)
