import pytest

from ml_backend.errors import LabelConfigError
from ml_backend.labels.config import Control, Label, label_config_for, parse_label_config

IMAGE = '<Image name="image" value="$image"/>'
REAR = '<Image name="back" value="$rear"/>'
CAR = '<Label value="Car"/>'
CAR_AS_C = '<Label value="Car" alias="c"/>'
DOG = '<Label value="Dog"/>'
CHOICES = '<Choices name="c" toName="image"><Choice value="x"/></Choices>'


def rectangles(inside: str = CAR, name: str = "label", to_name: str = "image") -> str:
    """Return a rectangle control tag."""
    return f'<RectangleLabels name="{name}" toName="{to_name}">{inside}</RectangleLabels>'


@pytest.mark.parametrize(
    ("xml", "controls"),
    [
        (
            f"<View>{IMAGE}{rectangles()}</View>",
            [Control("label", "image", "image", (Label("Car", ("Car",)),))],
        ),
        (
            f'<View><Header value="hi"/><View>{IMAGE}</View>{rectangles()}{CHOICES}</View>',
            [Control("label", "image", "image", (Label("Car", ("Car",)),))],
        ),
        (
            f"<View>{IMAGE}{REAR}{rectangles()}{rectangles(DOG, 'pets', 'back')}</View>",
            [
                Control("label", "image", "image", (Label("Car", ("Car",)),)),
                Control("pets", "back", "rear", (Label("Dog", ("Dog",)),)),
            ],
        ),
        (
            f'<View><Image name="image" valueList="$pages"/>{rectangles()}</View>',
            [Control("label", "image", "pages", (Label("Car", ("Car",)),), is_list=True)],
        ),
        (
            f"<View>{IMAGE}{rectangles(CAR_AS_C)}</View>",
            [Control("label", "image", "image", (Label("c", ("Car", "c")),))],
        ),
    ],
    ids=[
        "plain",
        "among other tags",
        "several controls and images",
        "a list of images",
        "alias is what a region carries",
    ],
)
def test_rectangle_controls_are_found(xml: str, controls: list[Control]) -> None:
    """Names, images and labels, in the order of the config."""
    assert parse_label_config(xml) == (tuple(controls), ())


def test_predicted_values_are_split() -> None:
    """Commas separate, spaces around them do not count, empty parts are left out."""
    labels = rectangles('<Label value="Vehicle" predicted_values="Car, Taxi,,/m/01bjv "/>')
    (control,), _ = parse_label_config(f"<View>{IMAGE}{labels}</View>")
    assert control.labels == (Label("Vehicle", ("Vehicle",), ("Car", "Taxi", "/m/01bjv")),)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("", "not valid XML"),
        ("hello", "not valid XML"),
        ("<View>", "not valid XML"),
        ("<View></View>", "no <RectangleLabels> control .*no control tag at all"),
        (f'<View>{IMAGE}<PolygonLabels name="p" toName="image">{CAR}</PolygonLabels></View>', "it has PolygonLabels"),
        (f"<View>{IMAGE}{rectangles(to_name='nope')}</View>", 'toName="nope" is no <Image>'),
        (f'<View><Text name="image" value="$text"/>{rectangles()}</View>', 'toName="image" is no <Image>'),
        (f"<View>{IMAGE}{rectangles('')}</View>", "it has no <Label> with a value"),
        (f'<View><Image name="image" value="https://x/$image"/>{rectangles()}</View>', 'value="https://x/\\$image"'),
        ('<!DOCTYPE v [<!ENTITY a SYSTEM "file:///etc/passwd">]><View>&a;</View>', "not valid XML|no <Rectangle"),
    ],
    ids=[
        "empty",
        "text",
        "cut short",
        "nothing in it",
        "other control",
        "names no image",
        "names a text",
        "no label",
        "address made of parts",
        "external entity",
    ],
)
def test_what_cannot_be_served_is_said_in_one_sentence(xml: str, words: str) -> None:
    """The sentence says what the config lacks, and never a file's content."""
    with pytest.raises(LabelConfigError, match=words) as caught:
        parse_label_config(xml)
    assert "root:" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_control_that_cannot_be_served_leaves_the_others() -> None:
    """It becomes a warning that names it."""
    controls, warnings = parse_label_config(
        f"<View>{IMAGE}{rectangles()}{rectangles(name='other', to_name='nope')}</View>"
    )
    assert [control.from_name for control in controls] == ["label"]
    assert warnings == ('<RectangleLabels name="other"> is not served: its toName="nope" is no <Image>',)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (rectangles() + rectangles(DOG), "1 of 2 <RectangleLabels> are not served"),
        (rectangles() + f"<RectangleLabels>{DOG}</RectangleLabels>", "1 of 2 <RectangleLabels> are not served"),
    ],
    ids=["two of one name", "without a name"],
)
def test_controls_that_the_reader_drops_are_warned_of(inside: str, words: str) -> None:
    """Nothing vanishes without a word."""
    controls, (warning,) = parse_label_config(f"<View>{IMAGE}{inside}</View>")
    assert len(controls) == 1
    assert words in warning


def test_xml_declaration_and_labels_without_a_value_do_no_harm() -> None:
    """Editors write the one, people forget the other."""
    declared = f'<?xml version="1.0" encoding="UTF-8"?>\n<View>{IMAGE}{rectangles(CAR + "<Label/>")}</View>'
    (control,), _ = parse_label_config(declared)
    assert [label.value for label in control.labels] == ["Car"]


def test_config_made_for_names_reads_back() -> None:
    """Names with quotes and brackets too."""
    (control,), _ = parse_label_config(label_config_for(("Car", 'a "b" <c> & d')))
    assert [label.value for label in control.labels] == ["Car", 'a "b" <c> & d']
