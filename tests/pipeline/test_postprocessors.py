"""Which pictures are withheld, and what changes the version that predictions carry."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import BALLOON_CONFIG

from ml_backend.errors import LabelConfigError
from ml_backend.inference.detector import Detector
from ml_backend.pipeline.postprocessors import Policies, nothing_learned, withheld
from ml_backend.postprocessing.overrides import NOTHING_LEARNED, Learned
from ml_backend.settings import Settings

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000)]
_digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.05, 0.5, 0.9, 1.0])
def test_fraction_of_pictures_is_withheld(fraction: float) -> None:
    """About so many of random ones; none at 0 and all at 1."""
    share = sum(withheld(digest, fraction) for digest in DIGESTS) / len(DIGESTS)
    assert share == pytest.approx(fraction, abs=0.01 if 0 < fraction < 1 else 0)


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64, "7" * 64], ids=["lowest", "highest", "between"])
def test_none_and_all_have_no_exception(digest: str) -> None:
    """Whatever the digest."""
    assert not withheld(digest, 0)
    assert withheld(digest, 1)


@given(_digests, st.floats(0, 1), st.floats(0, 1))
def test_withheld_picture_stays_so(digest: str, one: float, other: float) -> None:
    """The same each time; a larger fraction withholds more, and never shows what a smaller one withheld."""
    less, more = sorted((one, other))
    assert withheld(digest, less) == withheld(digest, less)
    assert withheld(digest, more) or not withheld(digest, less)


def versions(detector: Detector, learned: Learned = NOTHING_LEARNED, xml: str = BALLOON_CONFIG, **settings: Any) -> str:
    """Return the version of a label config under settings and what was learned."""
    return Policies(Settings(**settings), detector, lambda _: learned).version_for(xml, "3")


KITE = ("label", "Kite")


@pytest.mark.parametrize(
    ("learned", "settings"),
    [
        (NOTHING_LEARNED, {"audit_fraction": 0.05}),
        (NOTHING_LEARNED, {"audit_fraction": 1}),
        (NOTHING_LEARNED, {"model_score_threshold": 0.4}),
        (NOTHING_LEARNED, {"model_input_max_side": 320}),
        (Learned.of({KITE: 0.7}), {}),
        (Learned.of({KITE: 0.0}), {}),
        (Learned.of({}, {("label", "Car"): "Kite"}), {}),
        (Learned.of({}, {}, {("label", "Car"): "Kite"}), {}),
        (Learned.of({}, {("label", "papalote"): "Kite"}), {}),
        (Learned(revision=2), {}),
    ],
    ids=["audited", "all audited", "threshold", "input", "learned threshold", "no threshold", "learned class", "learned branch", "class of the detector's own", "revert to the beginning"],
)  # fmt: skip
def test_version_changes_with_what_decides(demo_detector: Detector, learned: Learned, settings: dict[str, Any]) -> None:
    """Label Studio then asks again."""
    assert versions(demo_detector, learned, **settings) != versions(demo_detector)


@pytest.mark.parametrize(
    ("learned", "settings"),
    [
        (NOTHING_LEARNED, {"audit_fraction": 0}),
        (NOTHING_LEARNED, {"target_precision": 0.5}),
        (NOTHING_LEARNED, {"cache": "none"}),
        (Learned.of({KITE: 0.3}), {}),
        (Learned.of({("label", "Gone"): 0.7, ("gone", "Kite"): 0.7}), {}),
        (Learned.of({}, {("label", "Kite"): "Kite"}), {}),
        (Learned.of({}, {("label", "Car"): "Gone"}, {("gone", "Car"): "Kite"}), {}),
    ],
    ids=["none audited", "target", "cache", "the threshold that it has", "of what is gone", "where it goes already", "to what is gone"],
)  # fmt: skip
def test_version_stays_with_what_has_no_effect(
    demo_detector: Detector, learned: Learned, settings: dict[str, Any]
) -> None:
    """Nothing is asked again for it."""
    assert versions(demo_detector, learned, **settings) == versions(demo_detector)


def test_fractions_have_versions_of_their_own(demo_detector: Detector) -> None:
    """Other pictures are withheld."""
    assert len({versions(demo_detector, audit_fraction=each) for each in (0, 0.05, 0.1, 1)}) == 4


def test_config_that_cannot_be_served_has_a_version(demo_detector: Detector) -> None:
    """Which changes with the config, whatever was learned."""
    learned = Learned.of({KITE: 0.7})
    broken = [versions(demo_detector, xml=xml) for xml in ("<View/>", "<View></View>")]
    assert len({*broken, versions(demo_detector, learned, "<View/>")}) == 2


def test_each_project_has_its_policy(demo_detector: Detector) -> None:
    """Of the same label config, asked for by the name that requests give; what is learned later counts at once."""
    asked: list[str | None] = []
    taught: dict[str | None, Learned] = {"3.5": Learned.of({KITE: 0.7})}

    def learned(project: str | None) -> Learned:
        asked.append(project)
        return taught.get(project, NOTHING_LEARNED)

    policies = Policies(Settings(), demo_detector, learned)
    third, fourth = policies.of(BALLOON_CONFIG, "3.5"), policies.of(BALLOON_CONFIG, "4")
    assert third.digest != fourth.digest
    assert policies.of(BALLOON_CONFIG, "3.5") is third
    assert policies.of(BALLOON_CONFIG) is fourth
    taught.clear()
    assert policies.of(BALLOON_CONFIG, "3.5") is fourth
    assert asked == ["3.5", "4", "3.5", None, "3.5"]


def test_config_that_cannot_be_served_is_refused_each_time(demo_detector: Detector) -> None:
    """With the same sentence."""
    policies = Policies(Settings(), demo_detector, nothing_learned)
    sentences = set()
    for _ in range(2):
        with pytest.raises(LabelConfigError) as refused:
            policies.of("<View/>")
        sentences.add(str(refused.value))
    assert len(sentences) == 1
