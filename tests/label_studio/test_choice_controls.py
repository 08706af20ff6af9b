"""Reading ``<Choices>`` and ``<Taxonomy>`` from label configs."""

from typing import Any

import pytest

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.choices import ChoicesControl, TaxonomyControl, TaxonomyItem
from ml_backend.label_studio.label_config import parse_label_config

IMAGE = '<Image name="image" value="$image"/>'
DOG = '<Choice value="Dog"/>'


def parsed(tags: str) -> tuple[Any, tuple[str, ...]]:
    """Return the only control of a label config with an image, and the sentences about problems."""
    (control,), problems = parse_label_config(f"<View>{IMAGE}{tags}</View>")
    return control, problems


@pytest.mark.parametrize(
    ("attributes", "field", "expected"),
    [
        ("", "multiple", False),
        ('choice="single"', "multiple", False),
        ('choice="single-radio"', "multiple", False),
        ('choice="multiple"', "multiple", True),
        ('model_score_threshold="0.7"', "score_threshold", 0.7),
        ('model_hierarchy="false"', "hierarchy", False),
        ('model_skip="true"', "skip", True),
        ('model_source="detections"', "source", "detections"),
        ('model_source="classifier"', "model", "classifier"),
        ('perItem="true"', "per_item", True),
    ],
)
def test_attributes_of_choices(attributes: str, field: str, expected: object) -> None:
    """Those of Label Studio, and those that boxes have too."""
    control, problems = parsed(f'<Choices name="what" toName="image" {attributes}>{DOG}</Choices>')
    assert isinstance(control, ChoicesControl)
    assert (getattr(control, field), problems) == (expected, ())


def test_choice_has_the_attributes_of_a_label() -> None:
    """Value, alias and the rules for its classes."""
    given = '<Choice value="Dog" alias="d" predicted_values="pug, beagle" model_score_threshold="0.4" model_hierarchy="false" model_skip="true"/>'
    control, _ = parsed(f'<Choices name="what" toName="image"><View>{given}</View>{DOG}{DOG}</Choices>')
    first, second = control.labels
    assert (first.value, first.names, first.predicted_values) == ("d", ("Dog", "d"), ("pug", "beagle"))
    assert (first.score_threshold, first.hierarchy, first.skip) == (0.4, False, True)
    assert second.value == "Dog"


def test_items_of_a_taxonomy_have_paths() -> None:
    """Aliases are what results carry, on each level."""
    tree = '<Choice value="Animal" alias="a"><Choice value="Dog"/><Choice value="Cat" alias="c"/></Choice><Choice value="Other"/>'
    control, problems = parsed(f'<Taxonomy name="what" toName="image" leafsOnly="true" maxUsages="2">{tree}</Taxonomy>')
    assert isinstance(control, TaxonomyControl)
    assert problems == ()
    assert (control.leaves_only, control.max_usages, control.multiple) == (True, 2, True)
    items = [each for each in control.labels if isinstance(each, TaxonomyItem)]
    assert [(each.value, each.path, each.names, each.is_leaf) for each in items] == [
        ("a", ("a",), ("Animal", "a"), False),
        ("a / Dog", ("a", "Dog"), ("Dog",), True),
        ("a / c", ("a", "c"), ("Cat", "c"), True),
        ("Other", ("Other",), ("Other",), True),
    ]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (f'<Choices name="what" toName="image" perRegion="true">{DOG}</Choices>', 'perRegion="true" asks about regions'),
        (f'<Choices name="what" toName="nope,image">{DOG}</Choices>', "has several names"),
        (f'<Choices name="what" toName="image" model_source="guess">{DOG}</Choices>', "model_source='guess'|model_source=\"guess\""),
        (f'<Choices name="what" toName="image" model_score_threshold="2">{DOG}</Choices>', "expected a number from 0 to 1"),
        ('<Choices name="what" toName="image"/>', "no <Choice> with a value"),
        ('<Choices name="what" toName="image" value="$options"/>', "takes from the task"),
        ('<Choices name="what" toName="image"><Choice value="A"><Choice value="B"/></Choice></Choices>', "a <Taxonomy> serves such trees"),
        (f'<Choices toName="image">{DOG}</Choices>', "1 of 1 <Choices> are not served"),
        ('<Taxonomy name="what" toName="image" apiUrl="https://x"/>', "apiUrl"),
        (f'<Taxonomy name="what" toName="image" maxUsages="0">{DOG}</Taxonomy>', "a whole number from 1"),
        ('<Taxonomy name="what" toName="image"/>', "no <Choice> with a value"),
        ('<Text name="text" value="$text"/><Choices name="what" toName="text"><Choice value="A"/></Choices>', "or <Taxonomy> for an image"),
    ],
    ids=[
        "about regions",
        "several images",
        "unknown source",
        "threshold",
        "no choice",
        "choices of the task",
        "choices in choices",
        "no name",
        "choices from elsewhere",
        "number of paths",
        "empty tree",
        "about a text",
    ],
)  # fmt: skip
def test_tags_that_cannot_be_served_are_named(tags: str, words: str) -> None:
    """With the reason, and the way out where there is one."""
    with pytest.raises(LabelConfigError, match=words):
        parsed(tags)


def test_choices_about_texts_are_not_mentioned_beside_images() -> None:
    """They are nothing that a model for images could answer."""
    text = '<Text name="text" value="$text"/><Choices name="tone" toName="text"><Choice value="A"/></Choices>'
    control, problems = parsed(f'{text}<Choices name="what" toName="image">{DOG}</Choices>')
    assert (control.from_name, problems) == ("what", ())


def test_unnamed_choices_are_counted() -> None:
    """The others are served."""
    control, problems = parsed(f'<Choices name="what" toName="image"><Choice/>{DOG}</Choices>')
    assert [label.value for label in control.labels] == ["Dog"]
    assert "1 <Choice>" in problems[0]


def test_deep_tree_is_read_within_bounds() -> None:
    """A config of nested choices is bounded by its size; ten thousand levels are an error, not a crash."""
    depth = 10_000
    tree = '<Choice value="a">' * depth + "</Choice>" * depth
    with pytest.raises(LabelConfigError):
        parsed(f'<Taxonomy name="what" toName="image">{tree}</Taxonomy>')
