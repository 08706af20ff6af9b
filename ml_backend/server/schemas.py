"""The bodies that Label Studio sends and gets, as OpenAPI shows them.

Requests are read leniently: Label Studio sends many more fields than are listed, and one odd task must not refuse the others.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

LABEL_CONFIG_EXAMPLE = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="Car"/><Label value="Person"/></RectangleLabels></View>'
)

# Tasks are checked one by one, so that a wrong one fails alone; the schema is for readers.
Task = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "title": "Task",
            "properties": {
                "id": {"type": "integer", "description": "Label Studio's task id"},
                "data": {
                    "type": "object",
                    "description": "the task's data; the label config says which key holds the image",
                    "additionalProperties": True,
                },
            },
            "required": ["data"],
            "example": {"id": 1, "data": {"image": "/data/upload/1/73f47284-street.jpg"}},
        }
    ),
]


class PredictRequest(BaseModel):
    """Body of ``POST /predict``."""

    model_config = ConfigDict(extra="ignore")

    tasks: list[Task] = Field(description="the tasks to predict")
    label_config: str = Field(description="the project's label config (XML)", examples=[LABEL_CONFIG_EXAMPLE])
    project: str | int | None = Field(
        None, description="`<project id>.<time of creation>`, as Label Studio sends it", examples=["1.1795326029"]
    )
    params: Any = Field(
        None,
        description="`context` in it holds what an annotator just drew (interactive mode); the rest is not read",
        examples=[{"login": None, "password": None, "context": None}],
    )


class SetupRequest(BaseModel):
    """Body of ``POST /setup``. The token in it is that of the project's creator: it is neither logged nor shown."""

    model_config = ConfigDict(extra="ignore")

    label_config: str = Field(
        alias="schema", description="the project's label config (XML)", examples=[LABEL_CONFIG_EXAMPLE]
    )
    project: str | int | None = Field(None, description="`<project id>.<time of creation>`", examples=["1.1795326029"])

    hostname: Any = Field(
        None, description="the address that Label Studio believes it has", examples=["http://localhost:8080"]
    )
    access_token: Any = Field(None, description="a legacy token, used only where none is configured", repr=False)


class HealthResponse(BaseModel):
    """Answer of ``GET /health``."""

    status: str = Field(examples=["UP"])
    model_class: str = Field(examples=["Prelabel"])


class SetupResponse(BaseModel):
    """Answer of ``POST /setup``."""

    model_version: str = Field(
        description="the version that predictions for this project carry",
        examples=["openimages_v4-ssd-mobilenet_v2@1f0c9a2b.55a19e"],
    )


class VersionsResponse(BaseModel):
    """Answer of ``GET /versions``."""

    versions: list[str] = Field(examples=[["openimages_v4-ssd-mobilenet_v2@1f0c9a2b.55a19e"]])


class WebhookResponse(BaseModel):
    """Answer of ``POST /webhook``."""

    status: str = Field(
        description="kept (on the disk), counted (nothing to learn from), or of Start Training: trained, unchanged, training",
        examples=["kept"],
    )
    job: str | None = Field(None, description="of Start Training", examples=["prelabel-3-revision-2"])
    revision: int | None = Field(None, description="that is in force after Start Training; 0 for none", examples=[2])
    message: str | None = Field(None, description="what Start Training changed", examples=["Person: 0.3 -> 0.42"])


class RectangleValueModel(BaseModel):
    """A bounding box in percent of the displayed picture."""

    x: float = Field(ge=0, le=100, examples=[68.3168])
    y: float = Field(ge=0, le=100, examples=[30.6132])
    width: float = Field(gt=0, le=100, examples=[30.1615])
    height: float = Field(gt=0, le=100, examples=[65.9058])
    rotation: int = Field(examples=[0])
    rectanglelabels: list[str] | None = Field(None, examples=[["Person"]])
    labels: list[str] | None = Field(None, description="in place of rectanglelabels for a Rectangle with Labels")


class RegionModel(BaseModel):
    """One rectangle of a prediction."""

    id: str = Field(examples=["d179c43efe5c83dd35e4"])
    from_name: str = Field(examples=["label"])
    to_name: str = Field(examples=["image"])
    type: str = Field(examples=["rectanglelabels"])
    original_width: int = Field(ge=1, description="of the displayed picture, in pixels", examples=[640])
    original_height: int = Field(ge=1, description="of the displayed picture, in pixels", examples=[422])
    image_rotation: int = Field(examples=[0])
    value: RectangleValueModel
    score: float = Field(ge=0, le=1, examples=[0.874])


class PredictionModel(BaseModel):
    """Prediction of one task."""

    result: list[RegionModel]
    score: float = Field(ge=0, le=1, description="low scores come first in uncertainty sampling", examples=[0.874])
    model_version: str = Field(examples=["openimages_v4-ssd-mobilenet_v2@1f0c9a2b.55a19e"])


class ExplainRequest(BaseModel):
    """Body of ``POST /explain``."""

    model_config = ConfigDict(extra="ignore")

    task: Task
    label_config: str = Field(description="the project's label config (XML)", examples=[LABEL_CONFIG_EXAMPLE])
    project: str | int | None = Field(None, description="`<project id>`, for pictures that Label Studio keeps")


class ExplainedDetection(BaseModel):
    """One raw detection and what became of it."""

    number: int = Field(ge=1, description="rank among the raw detections; reasons refer to it", examples=[1])
    class_name: str = Field(examples=["Taxi"])
    class_mid: str = Field(examples=["/m/0pg52"])
    score: float = Field(ge=0, le=1, examples=[0.81])
    box: list[float] = Field(description="ymin, xmin, ymax, xmax, normalized, in the displayed frame")
    fate: str = Field(examples=["kept"])
    reason: str = Field(examples=["kept as Vehicle 0.81"])
    label: str = Field(description="the project's label, or empty", examples=["Vehicle"])
    rule: str = Field(description="why the class goes to that label, or empty", examples=["hierarchy"])


class ExplainedImage(BaseModel):
    """What became of everything that was found in one image, under one control."""

    from_name: str = Field(examples=["label"])
    to_name: str = Field(examples=["image"])
    item_index: int = Field(ge=0, description="which image of a list", examples=[0])
    width: int = Field(ge=1, description="of the displayed picture, in pixels", examples=[640])
    height: int = Field(ge=1, description="of the displayed picture, in pixels", examples=[422])
    detections: list[ExplainedDetection]


class ExplainResponse(BaseModel):
    """Answer of ``POST /explain``."""

    images: list[ExplainedImage]


class PredictResponse(BaseModel):
    """Answer of ``POST /predict``: one entry for each task, in the order of the request."""

    results: list[
        PredictionModel
        | Annotated[list[Any], Field(max_length=0, description="the task failed; Label Studio will ask for it again")]
    ]


class ErrorDetail(BaseModel):
    """What was wrong."""

    code: str = Field(examples=["bad_request"])
    message: str = Field(examples=["label_config: Field required"])


class ErrorResponse(BaseModel):
    """Answer to a request that cannot be understood."""

    error: ErrorDetail
