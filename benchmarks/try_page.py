"""How long a step of a slider takes on the page "Try it", with a picture of 24 megapixels and 200 boxes.

Starts `prelabel serve` with the tests' own detector on a free port, adds a picture of 6000 x 4000 pixels in headless Chromium, and moves
the slider of all labels by hundredths up and down. Each step is the input event with all that the script does, and the layout after it. Run
it with `python benchmarks/try_page.py`.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the browser and the service are those of the tests
from e2e.browser import chromium
from e2e.servers import Prelabel
from e2e.try_page import TryPage
from PIL import Image
from samples import encoded
from trained.detector import trained_detector_folder
from trained.pictures import SIZE, held_out

WIDTH, HEIGHT = 6000, 4000  # pixels
BOXES = 200
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image" model_score_threshold="0" '
    f'model_tiles="4" model_nms_iou="1" model_max_regions="{BOXES}">'
    '<Label value="Kite"/><Label value="Balloon"/><Label value="Box"/></RectangleLabels></View>'
)

STEPS = """async () => {
    const slider = document.querySelector('#controls .all input');
    const times = [];
    for (let step = 0; step <= 200; step += 1) {
        const value = (100 - Math.abs(100 - step)) / 100;
        const from = performance.now();
        slider.value = value;
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        document.body.getBoundingClientRect();
        times.push(performance.now() - from);
        await new Promise(requestAnimationFrame);
    }
    return times;
}"""


def picture() -> bytes:
    """Return a picture of 24 megapixels: drawn pictures in rows, the first one large."""
    whole = Image.new("RGB", (WIDTH, HEIGHT))
    drawn = [each.image for each in held_out(24)]
    for number, image in enumerate(drawn):
        whole.paste(image.resize((1000, 1000)), (number % 6 * 1000, number // 6 * 1000))
    whole.paste(drawn[3].resize((SIZE[0] * 4, SIZE[1] * 4)), (0, 0))
    return encoded(whole, "JPEG", quality=90)


def main() -> None:
    """Measure, and print median and maximum."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        settings = {"PRELABEL_MODEL": str(trained_detector_folder() / "hub"), "PRELABEL_HOME": name}
        server = Prelabel(Path(name), None, settings)
        try:
            shown = TryPage(browser.new_page(viewport={"width": 1280, "height": 900}), server.url)
            shown.write(CONFIG)
            shown.choose(("large.jpg", picture()))
            boxes = shown.boxes.count()
            times = shown.page.evaluate(STEPS)
        finally:
            server.stop()
    print("| boxes | steps | median (ms) | maximum (ms) |\n|---:|---:|---:|---:|")
    print(f"| {boxes} | {len(times)} | {statistics.median(times):.1f} | {max(times):.1f} |")


if __name__ == "__main__":
    main()
