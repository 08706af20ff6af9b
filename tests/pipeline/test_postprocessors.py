"""Which pictures are withheld, and what changes the version that predictions carry."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import BALLOON_CONFIG

from ml_backend.errors import LabelConfigError
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.pipeline.holdout import in_holdout
from ml_backend.pipeline.postprocessors import PostprocessorCache, no_overrides
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.settings import Settings

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000)]
_digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.05, 0.5, 0.9, 1.0])
def test_fraction_of_pictures_is_withheld(fraction: float) -> None:
    """About so many of random ones; none at 0 and all at 1."""
    share = sum(in_holdout(digest, fraction) for digest in DIGESTS) / len(DIGESTS)
    assert share == pytest.approx(fraction, abs=0.01 if 0 < fraction < 1 else 0)


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64, "7" * 64], ids=["lowest", "highest", "between"])
def test_none_and_all_have_no_exception(digest: str) -> None:
    """Whatever the digest."""
    assert not in_holdout(digest, 0)
    assert in_holdout(digest, 1)


@given(_digests, st.floats(0, 1), st.floats(0, 1))
def test_withheld_picture_stays_so(digest: str, one: float, other: float) -> None:
    """The same each time; a larger fraction withholds more, and never shows what a smaller one withheld."""
    less, more = sorted((one, other))
    assert in_holdout(digest, less) == in_holdout(digest, less)
    assert in_holdout(digest, more) or not in_holdout(digest, less)


def versions(
    detector: Detector, overrides: LabelOverrides = NO_OVERRIDES, xml: str = BALLOON_CONFIG, **settings: Any
) -> str:
    """Return the version of a label config under settings and what was learned."""
    return PostprocessorCache(Settings(**settings), Models(detector), lambda _: overrides).version_for(xml, "3")


KITE = ("label", "Kite")


@pytest.mark.parametrize(
    ("overrides", "settings"),
    [
        (NO_OVERRIDES, {"holdout_fraction": 0.05}),
        (NO_OVERRIDES, {"holdout_fraction": 1}),
        (NO_OVERRIDES, {"model_score_threshold": 0.4}),
        (NO_OVERRIDES, {"model_input_max_side": 320}),
        (LabelOverrides.of({KITE: 0.7}), {}),
        (LabelOverrides.of({KITE: 0.0}), {}),
        (LabelOverrides.of({}, {("label", "Car"): "Kite"}), {}),
        (LabelOverrides.of({}, {}, {("label", "Car"): "Kite"}), {}),
        (LabelOverrides.of({}, {("label", "papalote"): "Kite"}), {}),
        (LabelOverrides(revision=2), {}),
    ],
    ids=["audited", "all audited", "threshold", "input", "learned threshold", "no threshold", "learned class", "learned branch", "class of the detector's own", "revert to the beginning"],
)  # fmt: skip
def test_version_changes_with_what_decides(
    demo_detector: Detector, overrides: LabelOverrides, settings: dict[str, Any]
) -> None:
    """Label Studio then asks again."""
    assert versions(demo_detector, overrides, **settings) != versions(demo_detector)


@pytest.mark.parametrize(
    ("overrides", "settings"),
    [
        (NO_OVERRIDES, {"holdout_fraction": 0}),
        (NO_OVERRIDES, {"target_precision": 0.5}),
        (NO_OVERRIDES, {"cache": "none"}),
        (LabelOverrides.of({KITE: 0.3}), {}),
        (LabelOverrides.of({("label", "Gone"): 0.7, ("gone", "Kite"): 0.7}), {}),
        (LabelOverrides.of({}, {("label", "Kite"): "Kite"}), {}),
        (LabelOverrides.of({}, {("label", "Car"): "Gone"}, {("gone", "Car"): "Kite"}), {}),
    ],
    ids=["none audited", "target", "cache", "the threshold that it has", "of what is gone", "where it goes already", "to what is gone"],
)  # fmt: skip
def test_version_stays_with_what_has_no_effect(
    demo_detector: Detector, overrides: LabelOverrides, settings: dict[str, Any]
) -> None:
    """Nothing is asked again for it."""
    assert versions(demo_detector, overrides, **settings) == versions(demo_detector)


def test_fractions_have_versions_of_their_own(demo_detector: Detector) -> None:
    """Other pictures are withheld."""
    assert len({versions(demo_detector, holdout_fraction=each) for each in (0, 0.05, 0.1, 1)}) == 4


def test_config_that_cannot_be_served_has_a_version(demo_detector: Detector) -> None:
    """Which changes with the config, whatever was learned."""
    overrides = LabelOverrides.of({KITE: 0.7})
    broken = [versions(demo_detector, xml=xml) for xml in ("<View/>", "<View></View>")]
    assert len({*broken, versions(demo_detector, overrides, "<View/>")}) == 2


def test_each_project_has_its_policy(demo_detector: Detector) -> None:
    """Of the same label config, asked for by the name that requests give; what is learned later counts at once."""
    asked: list[str | None] = []
    taught: dict[str | None, LabelOverrides] = {"3.5": LabelOverrides.of({KITE: 0.7})}

    def overrides(project: str | None) -> LabelOverrides:
        asked.append(project)
        return taught.get(project, NO_OVERRIDES)

    postprocessors = PostprocessorCache(Settings(), Models(demo_detector), overrides)
    third, fourth = postprocessors.of(BALLOON_CONFIG, "3.5"), postprocessors.of(BALLOON_CONFIG, "4")
    assert third.digest != fourth.digest
    assert postprocessors.of(BALLOON_CONFIG, "3.5") is third
    assert postprocessors.of(BALLOON_CONFIG) is fourth
    taught.clear()
    assert postprocessors.of(BALLOON_CONFIG, "3.5") is fourth
    assert asked == ["3.5", "4", "3.5", None, "3.5"]


def test_config_that_cannot_be_served_is_refused_each_time(demo_detector: Detector) -> None:
    """With the same sentence."""
    postprocessors = PostprocessorCache(Settings(), Models(demo_detector), no_overrides)
    sentences = set()
    for _ in range(2):
        with pytest.raises(LabelConfigError) as refused:
            postprocessors.of("<View/>")
        sentences.add(str(refused.value))
    assert len(sentences) == 1
