"""The colours of labels in drawn images."""

import zlib
from collections.abc import Collection, Iterable

# Any two are at least 0.19 apart in Oklab with its hue axes weighted by 1.6: a greedy choice of the farthest colours, improved by exchange.
PALETTE = (
    "#e10f00", "#00ff96", "#0000ff", "#78c3ff", "#00693c", "#c300ff", "#ffc34b", "#783c78",
    "#ffb4f0", "#00b496", "#00b400", "#968700", "#ff1e87", "#782dff", "#a587ff", "#b40096",
    "#ff8769", "#d2f000", "#00ffff", "#0087b4", "#c36996", "#873c1e", "#3c4bb4", "#ff69f0",
)  # fmt: skip


def colours_of(shown: Iterable[str], config: Collection[str] = ()) -> dict[str, str]:
    """Return a colour, ``#rrggbb``, for each label.

    A label's name decides its colour; of labels that share one, all but one move on to free colours. So up to 24 labels all differ, and their
    order does not matter. Where the label config has no more, its labels have the same colours in all images.

    Args:
        shown: the labels in the images that are seen together; empty ones do not count.
        config: the labels of the label config, if there is one.
    """
    labels = {*shown, *(config if len(config) <= len(PALETTE) else ())}
    colours: dict[str, str] = {}
    free = set(PALETTE)
    for label in sorted(labels - {""}):
        preferred = zlib.crc32(label.encode()) % len(PALETTE)
        ahead = [*PALETTE[preferred:], *PALETTE[:preferred]]
        colours[label] = next((colour for colour in ahead if colour in free), ahead[0])
        free.discard(colours[label])
    return colours


def text_on(colour: str) -> str:
    """Return the colour of text on a colour: black or white, of which the contrast is higher (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    luminance = sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    # (1 + 0.05) / (luminance + 0.05) is the contrast to white, (luminance + 0.05) / 0.05 that to black.
    return "white" if (luminance + 0.05) ** 2 < 1.05 * 0.05 else "black"
