"""The results of images in a checkpoint: those that it has, and the items that lack some under the present label config.

An item is done under the label config of its time. A later one can need another model, or the image of another field. Such an item
becomes pending again, and its results are kept: the models that ran on its images do not run again, and under its former label config it
is done again without a request.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ml_backend.bootstrap.items import Needs
from ml_backend.model_results import TILES, ModelKind, tiles_of
from ml_backend.pipeline.image_results import ImageResult

AT_ONCE = 500  # items or images that are looked up together

Read = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
"""Returns all rows of a SELECT with the given values."""

Known = dict[str, frozenset[ModelKind]]
"""The models whose results are stored, by the digest of an image (64 hex digits)."""

Digests = Mapping[str, list[str]]
"""The digests of an item's images, by the key of the task's data."""

NOTHING: frozenset[ModelKind] = frozenset()


def known_results(read: Read, digests: Iterable[str]) -> Known:
    """Return the models whose results are stored for some images; images without any are left out."""
    known: Known = {}
    wanted = [bytes.fromhex(digest) for digest in dict.fromkeys(digests)]
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        rows = read(
            "SELECT digest, pictures.detections <> x'', classification IS NOT NULL, group_concat(most) FROM pictures "  # noqa: S608 - only question marks are inserted
            "LEFT JOIN classifications USING (digest) LEFT JOIN tiles USING (digest) "
            f"WHERE digest IN ({', '.join('?' * len(some))}) GROUP BY digest",
            tuple(some),
        )
        for digest, has_detections, has_classification, tiles in rows:
            has: dict[ModelKind, bool] = {"detector": has_detections, "classifier": has_classification}
            in_tiles = {TILES[int(most)] for most in (tiles or "").split(",") if most}
            known[digest.hex()] = frozenset(in_tiles).union(kind for kind, there in has.items() if there)
    return known


def read_result(read: Read, digest: str) -> ImageResult | None:
    """Return the stored results of an image, or None."""
    select = "SELECT detections, appearance, classification FROM pictures LEFT JOIN classifications USING (digest) WHERE digest = ?"
    rows = read(select, (bytes.fromhex(digest),))
    if not rows:
        return None
    ((detections, perceptual_hash, classification),) = rows
    perceptual_hash = int.from_bytes(perceptual_hash, "big")
    in_tiles = read("SELECT most, detections FROM tiles WHERE digest = ?", (bytes.fromhex(digest),))
    tiles = {TILES[most]: found for most, found in in_tiles}
    return ImageResult(digest, detections, perceptual_hash, classification=classification or b"", tiles=tiles)


def store_result(database: sqlite3.Connection, image: ImageResult) -> None:
    """Add the results of an image to those that are stored. What is stored stays."""
    digest = bytes.fromhex(image.digest)
    if not image.kinds:
        return
    row = (digest, image.perceptual_hash.to_bytes(8, "big"), image.detections)
    database.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?, ?)", row)
    if image.detections:
        # An image that was only classified before has a row without detections.
        database.execute(
            "UPDATE pictures SET detections = ? WHERE digest = ? AND detections = x''", (image.detections, digest)
        )
    if image.classification:
        database.execute("INSERT OR IGNORE INTO classifications VALUES (?, ?)", (digest, image.classification))
    for kind, most in tiles_of(image.tiles).items():
        database.execute("INSERT OR IGNORE INTO tiles VALUES (?, ?, ?)", (digest, most, image.tiles[kind]))


def require(database: sqlite3.Connection, read: Read, needs: Needs) -> int:
    """Make items pending whose results are not all that a label config needs; returns their number, without those that are skipped.

    Their results are set aside in the column ``former``. Items whose results were set aside under another label config and are complete
    under this one are done again, also if they failed since.
    """
    pending = 0
    for rows in _pages(read):
        known = known_results(
            read, (digest for _, digests, *_ in rows for of_key in digests.values() for digest in of_key)
        )
        for position, digests, was_done, is_skipped in rows:
            complete = _is_complete(digests, needs, known)
            if was_done and not complete:
                pending += not is_skipped
                database.execute("UPDATE items SET former = looks, looks = NULL WHERE position = ?", (position,))
            elif complete and not was_done:
                database.execute(
                    "UPDATE items SET looks = former, former = NULL, reason = NULL, code = NULL WHERE position = ?",
                    (position,),
                )
    return pending


def _pages(read: Read) -> Iterator[list[tuple[int, Digests, bool, bool]]]:
    """Yield the items that have or had results: position, digests of the images, whether it is done, and whether it is skipped."""
    last = 0
    select = (
        "SELECT position, coalesce(looks, former), looks IS NOT NULL, remains <> '' FROM items "
        "WHERE coalesce(looks, former) IS NOT NULL AND position > ? ORDER BY position LIMIT ?"
    )
    while rows := read(select, (last, AT_ONCE)):
        yield [(position, json.loads(digests), bool(done), bool(skipped)) for position, digests, done, skipped in rows]
        last = rows[-1][0]


def _is_complete(digests: Digests, needs: Needs, known: Known) -> bool:
    return all(
        field.key in digests and all(_has(known, digest, kinds) for digest in digests[field.key])
        for field, kinds in needs.items()
    )


def _has(known: Known, digest: str, kinds: Collection[ModelKind]) -> bool:
    return known.get(digest, NOTHING).issuperset(kinds)
