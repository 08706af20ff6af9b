import pytest

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.label_config import label_config_for, parse_label_config

IMAGE = '<Image name="image" value="$image"/>'
REAR = '<Image name="back" value="$rear"/>'
CAR = '<Label value="Car"/>'
CAR_AS_C = '<Label value="Car" alias="c"/>'
DOG = '<Label value="Dog"/>'
RATING = '<Rating name="c" toName="image"/>'


def rectangles(inside: str = CAR, name: str = "label", to_name: str = "image") -> str:
    """Return a rectangle control tag."""
    return f'<RectangleLabels name="{name}" toName="{to_name}">{inside}</RectangleLabels>'


@pytest.mark.parametrize(
    ("xml", "controls"),
    [
        (
            f"<View>{IMAGE}{rectangles()}</View>",
            [RectangleControl("label", "image", "image", (Label("Car", ("Car",)),))],
        ),
        (
            f'<View><Header value="hi"/><View>{IMAGE}</View>{rectangles()}{RATING}</View>',
            [RectangleControl("label", "image", "image", (Label("Car", ("Car",)),))],
        ),
        (
            f"<View>{IMAGE}{REAR}{rectangles()}{rectangles(DOG, 'pets', 'back')}</View>",
            [
                RectangleControl("label", "image", "image", (Label("Car", ("Car",)),)),
                RectangleControl("pets", "back", "rear", (Label("Dog", ("Dog",)),)),
            ],
        ),
        (
            f'<View><Image name="image" valueList="$pages"/>{rectangles()}</View>',
            [RectangleControl("label", "image", "pages", (Label("Car", ("Car",)),), is_list=True)],
        ),
        (
            f"<View>{IMAGE}{rectangles(CAR_AS_C)}</View>",
            [RectangleControl("label", "image", "image", (Label("c", ("Car", "c")),))],
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


def test_commented_control_is_none() -> None:
    """The sentence does not speak of a tag that is not there."""
    with pytest.raises(LabelConfigError, match="has no <RectangleLabels> control"):
        parse_label_config(f"<View>{IMAGE}<!-- {rectangles()} -->{RATING}</View>")


def test_one_control_that_cannot_be_served_leaves_the_others() -> None:
    """It becomes a warning that names it."""
    controls, warnings = parse_label_config(
        f"<View>{IMAGE}{rectangles()}{rectangles(name='other', to_name='nope')}</View>"
    )
    assert [control.from_name for control in controls] == ["label"]
    assert warnings == ('<RectangleLabels name="other"> is not served: its toName="nope" is no <Image>',)


@pytest.mark.parametrize(
    ("inside", "served", "words"),
    [
        pytest.param(
            rectangles() + rectangles(DOG), ["Dog"], "1 of 2 <RectangleLabels> are not served", id="two of one name"
        ),
        pytest.param(
            rectangles() + f"<RectangleLabels>{DOG}</RectangleLabels>",
            ["Car"],
            "1 of 2 <RectangleLabels> are not served",
            id="without a name",
        ),
        pytest.param(
            rectangles() + '<Rectangle name="box"/>',
            ["Car"],
            "1 of 1 <Rectangle> are not served",
            id="without a toName",
        ),
        pytest.param(
            rectangles() + '<Rectangle name="box" toName="image"/>',
            ["Car"],
            '<Rectangle name="box"> is not served: no <Labels> has its toName',
            id="a rectangle without labels",
        ),
        pytest.param(
            f'<Rectangle name="box" toName="image"/><Labels name="pets" toName="image">{DOG}</Labels>'
            f'<Labels name="cars" toName="image">{CAR}</Labels>',
            ["Car"],
            '<Labels name="pets"> is not served: a <Rectangle> gets the labels of one <Labels>, here <Labels name="cars">',
            id="a rectangle with two sets of labels",
        ),
        pytest.param(
            rectangles() + REAR + rectangles(DOG, "pets", "image,back"),
            ["Car"],
            '<RectangleLabels name="pets"> is not served: its toName="image,back" has several names',
            id="a control for two images",
        ),
        pytest.param(
            rectangles(CAR + "<Label/><Label background='red'/>"),
            ["Car"],
            '2 <Label> of <RectangleLabels name="label"> are not served: they have neither a value nor an alias',
            id="labels without a name",
        ),
        pytest.param(
            rectangles().replace('name="label"', 'name="label" value="$more"'),
            ["Car"],
            'takes from the task (value="$more") are not served',
            id="labels from the task's data",
        ),
    ],
)
def test_tags_that_are_dropped_are_warned_of(inside: str, served: list[str], words: str) -> None:
    """Nothing vanishes without a word."""
    (control,), (warning,) = parse_label_config(f"<View>{IMAGE}{inside}</View>")
    assert [label.value for label in control.labels] == served
    assert words in warning


def test_control_for_two_images_alone_is_refused() -> None:
    """Label Studio's editor offers no tool on either image, so there is nothing that could be drawn."""
    with pytest.raises(LabelConfigError, match="give each image a control of its own"):
        parse_label_config(f"<View>{IMAGE}{REAR}{rectangles(to_name='image,back')}</View>")


@pytest.mark.parametrize(
    ("inside", "labels"),
    [
        pytest.param(
            CAR_AS_C + '<Label value="Truck" alias="c" predicted_values="Van"/>',
            [Label("c", ("Car", "c")), Label("c", ("Truck", "c"), ("Van",))],
            id="a shared alias",
        ),
        pytest.param(
            CAR + '<Label value="Auto" alias="Car"/>',
            [Label("Car", ("Car",)), Label("Car", ("Auto", "Car"))],
            id="an alias that is another's value",
        ),
        pytest.param(CAR + CAR, [Label("Car", ("Car",))], id="the same label twice is one"),
        pytest.param(
            f"<View><Header value='x'/>{CAR}</View>{DOG}",
            [Label("Car", ("Car",)), Label("Dog", ("Dog",))],
            id="grouped",
        ),
        pytest.param('<label value="Car"/>', [Label("Car", ("Car",))], id="in lower case"),
    ],
)
def test_every_label_is_served(inside: str, labels: list[Label]) -> None:
    """The SDK reads them into a dictionary by alias, where one replaces another."""
    (control,), warnings = parse_label_config(f"<View>{IMAGE}{rectangles(inside)}</View>")
    assert (list(control.labels), warnings) == (labels, ())


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param(f"<View>{IMAGE}{rectangles()}<!-- {rectangles(DOG, 'pets')} --></View>", id="in a comment"),
        pytest.param(f"<View>{IMAGE}{rectangles()}<![CDATA[{rectangles(DOG, 'pets')}]]></View>", id="in a text"),
        pytest.param(f"<View>{IMAGE}{rectangles()}</View>".replace("RectangleL", "rectanglel"), id="in lower case"),
    ],
)
def test_only_tags_are_counted(xml: str) -> None:
    """A control that is commented out is none that is not served; one in lower case is served."""
    (control,), warnings = parse_label_config(xml)
    assert (control.from_name, warnings) == ("label", ())


def test_xml_declaration_and_labels_without_a_value_do_no_harm() -> None:
    """Editors write the one, people forget the other."""
    declared = f'<?xml version="1.0" encoding="UTF-8"?>\n<View>{IMAGE}{rectangles(CAR + "<Label/>")}</View>'
    (control,), _ = parse_label_config(declared)
    assert [label.value for label in control.labels] == ["Car"]


def test_config_made_for_names_reads_back() -> None:
    """Names with quotes and brackets too."""
    (control,), _ = parse_label_config(label_config_for(("Car", 'a "b" <c> & d')))
    assert [label.value for label in control.labels] == ["Car", 'a "b" <c> & d']


PAIR = '<Rectangle name="box" toName="image"/><Labels name="what" toName="image"><Label value="Car"/></Labels>'


def test_rectangle_with_labels_is_a_control() -> None:
    """The pair draws like RectangleLabels; either tag may carry the attributes."""
    given = PAIR.replace('name="what"', 'name="what" model_nms_iou="0.4"')
    (control,), _ = parse_label_config(f"<View>{IMAGE}{given}</View>")
    assert isinstance(control, RectangleControl)
    assert (control.from_name, control.labels_name, control.nms_iou) == ("box", "what", 0.4)
    assert [label.value for label in control.labels] == ["Car"]


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ('<Rectangle name="box" toName="image"/>', '<Rectangle name="box"> is not served: no <Labels> has its toName'),
        (
            '<Labels name="what" toName="image"><Label value="Car"/></Labels>',
            r"no <RectangleLabels> control .* nor a <Rectangle> with <Labels>, .* \(it has Labels\)",
        ),
    ],
    ids=["rectangle", "labels"],
)
def test_half_a_pair_is_none(inside: str, words: str) -> None:
    """A rectangle without labels has nothing to say, labels without a rectangle nothing to draw with."""
    with pytest.raises(LabelConfigError, match=words):
        parse_label_config(f"<View>{IMAGE}{inside}</View>")


def test_attributes_are_read() -> None:
    """Names that users of other backends know, on control and label."""
    attributes = 'model_score_threshold="0.5" model_nms_iou="0" model_min_area="0.2" model_max_regions="7" model_hierarchy="False"'
    attributes += ' model_nms_across_labels="true" model_tiles="3"'
    inside = '<Label value="Car" model_score_threshold="0.8" model_hierarchy="false" model_skip="true"/>'
    tag = rectangles(inside).replace('name="label"', f'name="label" {attributes}')
    (control,), _ = parse_label_config(f"<View>{IMAGE}{tag}</View>")
    assert isinstance(control, RectangleControl)
    assert (control.score_threshold, control.nms_iou, control.min_area) == (0.5, 0, 0.2)
    assert (control.max_regions, control.hierarchy, control.skip) == (7, False, False)
    assert control.nms_across_labels
    assert control.tiles == 3
    (label,) = control.labels
    assert (label.score_threshold, label.hierarchy, label.skip) == (0.8, False, True)


@pytest.mark.parametrize(
    ("tag", "attribute", "expected"),
    [
        ("control", 'model_score_threshold="50"', "a number from 0 to 1"),
        ("control", 'model_score_threshold="high"', "a number from 0 to 1"),
        ("control", 'model_nms_iou="nan"', "a number from 0 to 1"),
        ("control", 'model_min_area="-1"', "percent of the picture's area"),
        ("control", 'model_max_regions="0"', "a whole number from 1"),
        ("control", 'model_max_regions="2.9"', "a whole number from 1"),
        ("control", 'model_tiles="1"', "0, or a whole number from 2 to 4"),
        ("control", 'model_tiles="5"', "0, or a whole number from 2 to 4"),
        ("control", 'model_skip="yes"', '"true" or "false"'),
        ("control", 'model_nms_across_labels="0.7"', '"true" or "false"'),
        ("label", 'model_score_threshold="50"', "a number from 0 to 1"),
        ("label", 'model_hierarchy="0"', '"true" or "false"'),
    ],
)
def test_wrong_attributes_are_said_and_not_guessed(tag: str, attribute: str, expected: str) -> None:
    """Boxes by a threshold that nobody meant would be worse than none."""
    labels = f'<Label value="Car" {attribute}/>' if tag == "label" else CAR
    control = rectangles(labels)
    if tag == "control":
        control = control.replace('name="label"', f'name="label" {attribute}')
    with pytest.raises(LabelConfigError, match=expected) as caught:
        parse_label_config(f"<View>{IMAGE}{control}</View>")
    assert attribute.partition("=")[0] in str(caught.value)
