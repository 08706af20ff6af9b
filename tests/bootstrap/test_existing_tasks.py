import pytest

from ml_backend.bootstrap.existing_tasks import Decision, ExistingTaskPolicy

NOW, BEFORE = "demo@01234567.abcdef", "demo@01234567.000000"
OTHER_MODEL = "ssd/mobilenet_v2@89abcdef.abcdef"
REFRESH, INCLUDE = {"refresh_stale": True}, {"include_annotated": True}

ANNOTATED = Decision("it has annotations")
HAS_IT = Decision("it has this prediction already")
HAS_ANOTHER = Decision("it has a prediction of another version of Prelabel (--refresh-stale)")
GETS_ONE = Decision()


@pytest.mark.parametrize(
    ("annotations", "predictions", "options", "decision", "why"),
    [
        (0, [], {}, GETS_ONE, "nothing is there"),
        (1, [], {}, ANNOTATED, "people were there first"),
        (1, [NOW], {}, ANNOTATED, "they come first in every case"),
        (3, [BEFORE], REFRESH, ANNOTATED, "even where old predictions are to be replaced"),
        (1, [], INCLUDE, GETS_ONE, "people want it"),
        (1, [NOW], INCLUDE, HAS_IT, "once is enough"),
        (0, [NOW], {}, HAS_IT, "once is enough"),
        (0, [BEFORE], {}, HAS_ANOTHER, "the user decides whether it goes"),
        (0, [OTHER_MODEL], {}, HAS_ANOTHER, "of another model, it is still Prelabel's"),
        (0, [BEFORE], REFRESH, Decision(stale=(1,)), "replaced"),
        (0, [BEFORE, OTHER_MODEL], REFRESH, Decision(stale=(1, 2)), "all of them"),
        (0, [BEFORE, NOW], {}, HAS_IT, "the old one stays as long as nobody asks"),
        (0, [BEFORE, NOW], REFRESH, Decision(HAS_IT.skip_reason, (1,)), "the old one goes, the new one is there"),
        (1, [BEFORE], REFRESH | INCLUDE, GETS_ONE, "an annotation may stand on the old one, which stays"),
        (1, [BEFORE, NOW], REFRESH | INCLUDE, HAS_IT, "the same"),
        (0, ["yolo-v8", ""], {}, GETS_ONE, "others' predictions are no reason"),
        (0, ["yolo-v8", "", BEFORE], REFRESH, Decision(stale=(3,)), "and never go"),
    ],
)
def test_what_happens_to_a_task(
    annotations: int, predictions: list[str], options: dict[str, bool], decision: Decision, why: str
) -> None:
    """By what it has, and what the user said."""
    assert ExistingTaskPolicy(NOW, **options).decide(annotations, dict(enumerate(predictions, 1))) == decision


@pytest.mark.parametrize(
    "version",
    [
        "@01234567.abcdef",
        "demo@0123456.abcdef",
        "demo@01234567.abcde",
        "demo@01234567.ABCDEF",
        "demo@01234567.abcdef0",
        "demo@01234567-abcdef",
        "demo@01234567.abcdef\n",
        "my model",
        "undefined",
    ],
)
def test_versions_that_only_look_like_ours(version: str) -> None:
    """A prediction that is not surely Prelabel's is never deleted."""
    assert ExistingTaskPolicy(NOW, refresh_stale=True).decide(0, {1: version}) == GETS_ONE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["never change", "annotated tasks are skipped", "stay, and their tasks are skipped", f"ones are {NOW}"]),
        (INCLUDE, ["never change", "annotated tasks get a prediction too"]),
        (REFRESH, ["other versions of Prelabel are replaced", "predictions of other models stay"]),
    ],
)
def test_rule_says_what_it_does(options: dict[str, bool], words: list[str]) -> None:
    """Before anything happens."""
    assert not [each for each in words if each not in str(ExistingTaskPolicy(NOW, **options))]
