"""The responses, as OpenAPI shows them; the requests are in :mod:`ml_backend.server.bodies`."""

from typing import Annotated, Any

from pydantic import BaseModel, Field


class HealthResponse(BaseModel):
    """Response of ``GET /health`` and ``GET /ready``."""

    status: str = Field(examples=["UP"])
    model_class: str = Field(examples=["Prelabel"])


class SetupResponse(BaseModel):
    """Response of ``POST /setup``."""

    model_version: str = Field(
        description="the version that predictions for this project carry",
        examples=["openimages_v4-ssd-mobilenet_v2@1f0c9a2b.55a19e"],
    )


class VersionsResponse(BaseModel):
    """Response of ``GET /versions``."""

    versions: list[str] = Field(examples=[["openimages_v4-ssd-mobilenet_v2@1f0c9a2b.55a19e"]])


class WebhookResponse(BaseModel):
    """Response of ``POST /webhook``."""

    status: str = Field(
        description="kept (stored), counted (nothing to learn from), or for Start Training: trained, unchanged, training",
        examples=["kept"],
    )
    job: str | None = Field(None, description="for Start Training", examples=["prelabel-3-revision-2"])
    revision: int | None = Field(None, description="current after Start Training; 0 for none", examples=[2])
    message: str | None = Field(None, description="the changes of Start Training", examples=["Person: 0.3 -> 0.42"])


class RectangleValueModel(BaseModel):
    """A bounding box in percent of the displayed image."""

    x: float = Field(ge=0, le=100, examples=[68.3168])
    y: float = Field(ge=0, le=100, examples=[30.6132])
    width: float = Field(gt=0, le=100, examples=[30.1615])
    height: float = Field(gt=0, le=100, examples=[65.9058])
    rotation: int = Field(examples=[0])
    rectanglelabels: list[str] | None = Field(None, examples=[["Person"]])
    labels: list[str] | None = Field(None, description="in place of rectanglelabels for a Rectangle with Labels")


class ChoicesValueModel(BaseModel):
    """Choices for a whole image."""

    choices: list[str] | None = Field(None, examples=[["Dog"]])
    taxonomy: list[list[str]] | None = Field(None, description="paths, for a Taxonomy", examples=[[["Animal", "Dog"]]])


class RegionModel(BaseModel):
    """One rectangle, or the choices of one control."""

    id: str = Field(examples=["d179c43efe5c83dd35e4"])
    from_name: str = Field(examples=["label"])
    to_name: str = Field(examples=["image"])
    type: str = Field(examples=["rectanglelabels"])
    original_width: int | None = Field(
        None, ge=1, description="of the displayed image, in pixels; none for choices", examples=[640]
    )
    original_height: int | None = Field(
        None, ge=1, description="of the displayed image, in pixels; none for choices", examples=[422]
    )
    image_rotation: int | None = Field(None, description="none for choices", examples=[0])
    value: RectangleValueModel | ChoicesValueModel
    score: float = Field(ge=0, le=1, examples=[0.874])


class PredictionModel(BaseModel):
    """Prediction of one task."""

    result: list[RegionModel]
    score: float = Field(ge=0, le=1, description="low scores come first in uncertainty sampling", examples=[0.874])
    model_version: str = Field(examples=["openimages_v4-ssd-mobilenet_v2@1f0c9a2b.55a19e"])


class ExplainedDetection(BaseModel):
    """One raw detection and the decision on it."""

    number: int = Field(ge=1, description="rank among the raw detections; reasons refer to it", examples=[1])
    class_name: str = Field(examples=["Taxi"])
    class_mid: str = Field(examples=["/m/0pg52"])
    view: str = Field(
        description="where it was found: whole (the whole image), or a tile, such as tiles2 1.2 (row 1, column 2 of up to 2 x 2)",
        examples=["whole"],
    )
    score: float = Field(ge=0, le=1, examples=[0.81])
    box: list[float] = Field(description="ymin, xmin, ymax, xmax, normalized, in the displayed frame")
    fate: str = Field(examples=["kept"])
    reason: str = Field(examples=["kept as Vehicle 0.81"])
    label: str = Field(description="the project's label, or empty", examples=["Vehicle"])
    rule: str = Field(description="why the class maps to that label, or empty", examples=["hierarchy"])


class ExplainedImage(BaseModel):
    """All detections in one image, with the decisions under one control."""

    from_name: str = Field(examples=["label"])
    to_name: str = Field(examples=["image"])
    item_index: int = Field(ge=0, description="which image of a list", examples=[0])
    width: int = Field(ge=1, description="of the displayed image, in pixels", examples=[640])
    height: int = Field(ge=1, description="of the displayed image, in pixels", examples=[422])
    detections: list[ExplainedDetection]


class ExplainedChoice(BaseModel):
    """One choice and the decision on it."""

    choice: str = Field(examples=["Dog"])
    score: float = Field(ge=0, le=1, description="the sum of its classes' probabilities, or its best detection's score")
    fate: str = Field(examples=["kept"])
    reason: str = Field(examples=["Dog 0.81"])


class ExplainedClass(BaseModel):
    """One class of the classifier with its probability and its choice."""

    class_name: str = Field(examples=["golden retriever"])
    class_id: str = Field(description="synset of WordNet, or empty", examples=["n02099601"])
    probability: float = Field(ge=0, le=1)
    choice: str = Field(description="the project's choice, or empty", examples=["Dog"])
    rule: str = Field(description="why the class belongs to that choice, or empty", examples=["hierarchy"])


class ExplainedClassification(BaseModel):
    """The choices of one control, for one image or all images of a list together."""

    from_name: str = Field(examples=["choice"])
    to_name: str = Field(examples=["image"])
    item_index: int = Field(ge=0, description="which image of a list", examples=[0])
    source: str = Field(description="classifier or detections", examples=["classifier"])
    choices: list[ExplainedChoice]
    classes: list[ExplainedClass] = Field(description="the most probable classes; empty where detections decide")


class ExplainResponse(BaseModel):
    """Response of ``POST /explain``."""

    images: list[ExplainedImage]
    classifications: list[ExplainedClassification] = []


class PredictResponse(BaseModel):
    """Response of ``POST /predict``: one entry for each task, in the order of the request."""

    results: list[
        PredictionModel
        | Annotated[list[Any], Field(max_length=0, description="the task failed; Label Studio will ask for it again")]
    ]


class ErrorDetail(BaseModel):
    """Code and message of an error."""

    code: str = Field(examples=["bad_request"])
    message: str = Field(examples=["label_config: Field required"])


class ErrorResponse(BaseModel):
    """Response to a request that failed."""

    error: ErrorDetail
