"""``/`` for browsers: try pictures and a label config, without Label Studio.

The browser sends a picture once, and gets the SHA-256 of its bytes. The results of the models stay in the cache under it, so another label
config needs no picture. Thresholds need no request at all (:mod:`~ml_backend.server.pages.open_decisions`).
"""

import asyncio
import base64
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from ml_backend.errors import ImageDecodeError, LabelConfigError
from ml_backend.images.tiles import tiles_in
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.model_results import TILES, ModelKind, tiles_of
from ml_backend.postprocessing.label_coverage import classes_of, label_coverage, vocabulary_of
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.served_controls import served_controls
from ml_backend.server.auth import authenticate
from ml_backend.server.bodies import config_request
from ml_backend.server.pages.open_decisions import described_controls, open_decisions, path_of, seen_without_config
from ml_backend.server.pages.page import from_own_page, has_password, keep_private, render
from ml_backend.server.receiving import receive
from ml_backend.server.service import Service, ServiceDependency

FIELD = ImageField("image", is_list=False)
MAX_TREE = 5000  # classes of a model's list that the page gets

router = APIRouter(
    prefix="/try",
    include_in_schema=False,
    dependencies=[Depends(authenticate), Depends(from_own_page), Depends(keep_private)],
)


class ConfigBody(msgspec.Struct):
    """Body of ``POST /try/label-config``.

    Attributes:
        label_config: XML.
        project: whose learned thresholds and labels apply; None for none.
    """

    label_config: str
    project: int | None = None


class DecisionsBody(ConfigBody, kw_only=True):
    """Body of ``POST /try/decisions``.

    Attributes:
        digest: SHA-256 of the picture, as ``POST /try/pictures`` gave it.
    """

    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


def show_try(service: Service) -> HTMLResponse:
    """Return the page."""
    models = service.pipeline.models
    values = {
        "models": models.all,
        "max_bytes": service.settings.image_max_bytes,
        "threshold": service.settings.model_score_threshold,
        "tiles": service.settings.tiles,
        "has_token": service.settings.label_studio_api_key is not None,
        "has_password": has_password(service.settings),
    }
    return render("try.html", values)


@router.post("/pictures")
async def add_picture(
    request: Request, service: ServiceDependency, tiles: Annotated[int | None, Query(ge=2, le=4)] = None
) -> dict[str, Any]:
    """Run the models on a picture, the body of the request, and on its tiles where they are asked for."""
    limit = service.settings.image_max_bytes
    body = await receive(request, limit, "choose a smaller picture, or raise PRELABEL_IMAGE_MAX_BYTES")
    needs = _kinds(service, tiles)
    uri = "data:;base64," + (await asyncio.to_thread(base64.b64encode, body)).decode()
    try:
        found = await service.pipeline.infer({"data": {FIELD.key: uri}}, {FIELD: needs})
    except ImageDecodeError as error:  # its cause, without the name of the data: URI, since the page knows the file's
        raise type(error)(str(error.__cause__ or error)) from None
    (image,) = found[FIELD]
    width, height = image.results.size
    largest = max(TILES)
    scale = service.settings.model_input_max_side
    return {
        "digest": image.version.digest,
        "width": width,
        "height": height,
        "large": "detector" in needs and bool(tiles_in((width, height), largest, scale)),
    }


@router.post("/decisions")
async def decide(
    body: Annotated[DecisionsBody, Depends(config_request(DecisionsBody))], service: ServiceDependency
) -> dict[str, Any]:
    """Return the decisions on a picture under a label config, before any threshold; or the tiles that are needed for them."""
    pipeline = service.pipeline
    postprocessor, _ = await _postprocessor(service, body)
    needs = postprocessor.models if postprocessor else frozenset(_kinds(service, None))
    results = await pipeline.known(body.digest, needs)
    if results is None:  # the cache never had them, or not any more: the page sends the picture again
        return {"known": False, "tiles": list(tiles_of(needs).values())}
    if postprocessor is None:
        classifier = pipeline.models.classifier
        return {"known": True} | seen_without_config(results, classifier.classes if classifier else None)
    return {"known": True} | await asyncio.to_thread(open_decisions, postprocessor, results)


@router.post("/label-config")
async def read_config(
    body: Annotated[ConfigBody, Depends(config_request(ConfigBody))], service: ServiceDependency
) -> dict[str, Any]:
    """Return the controls and labels of a label config, with their classes, and the problems of it."""
    postprocessor, problem = await _postprocessor(service, body)
    coverage = await asyncio.to_thread(_coverage, service, body.label_config)
    return {
        "problem": problem,
        "warnings": postprocessor.warnings if postprocessor else (),
        "controls": described_controls(postprocessor) if postprocessor else [],
        "coverage": coverage,
    }


@router.get("/classes")
async def list_classes(service: ServiceDependency) -> dict[str, Any]:
    """Return the classes of each model with those above them, for the tree."""
    return await asyncio.to_thread(lambda: {kind: _tree(service, kind) for kind in service.pipeline.models.by_kind})


async def _postprocessor(service: Service, body: ConfigBody) -> tuple[Postprocessor | None, str]:
    """Return the postprocessor of a label config, or None and the reason."""
    project = None if body.project is None else str(body.project)
    try:
        return await service.pipeline.postprocessors.load(body.label_config, project), ""
    except LabelConfigError as error:
        return None, str(error)


def _kinds(service: Service, tiles: int | None) -> list[ModelKind]:
    kinds: list[ModelKind] = list(service.pipeline.models.by_kind)
    return [*kinds, TILES[tiles]] if tiles is not None and "detector" in kinds else kinds


def _coverage(service: Service, label_config: str) -> list[dict[str, Any]]:
    """Return the classes of each label, also for a config that is not served because no class reaches any of its labels."""
    settings, models = service.settings, service.pipeline.models
    if len(label_config) > settings.label_config_max_bytes:
        return []
    try:
        parsed, _ = parse_label_config(label_config)
    except LabelConfigError:
        return []
    controls, _ = served_controls(parsed[: settings.max_controls], models.by_kind, settings.tiles)
    found = []
    for control in controls:
        try:
            covered = label_coverage(control, models.classes[control.model])
        except LabelConfigError:  # two labels claim one class, which the problem says
            continue
        for label, described in zip(control.labels, covered["labels"], strict=True):
            described["path"] = path_of(label)
        found.append(covered | {"tag": control.shown_name})
    return found


def _tree(service: Service, kind: ModelKind) -> list[dict[str, str]]:
    """Return the classes of a model and the groups above them, each with the id of the first class above it that is among them."""
    classes = service.pipeline.models.classes[kind] or classes_of(kind)
    vocabulary = vocabulary_of(kind)
    own = {each.id or each.name: each.name for each in classes[:MAX_TREE]}
    above = {up for known in own for level in vocabulary.ancestors(known) for up in level}
    shown = own | {known: vocabulary.name_by_id[known] for known in above - own.keys()}
    return [
        {
            "id": known,
            "name": name,
            "parent": next((up for up in vocabulary.parents.get(known, ()) if up in shown), ""),
            "output": "1" if known in own else "",
        }
        for known, name in shown.items()
    ]
