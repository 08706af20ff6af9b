"""``/docs``: the routes in Swagger UI, whose files come from the package fastapi-offline, so that the page needs no other host."""

from importlib.resources import files

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response

from ml_backend.server.auth import authenticate

MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}

router = APIRouter(dependencies=[Depends(authenticate)], include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI description."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def swagger() -> HTMLResponse:
    """Show the routes in Swagger UI."""
    return get_swagger_ui_html(
        title="Prelabel",
        openapi_url="openapi.json",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # the default sends the description to a host of Swagger
    )


@router.get("/docs/{name}")
def swagger_file(name: str) -> Response:
    """Return a file of the page.

    Raises:
        HTTPException: 404.
    """
    if name not in MEDIA_TYPES:
        raise HTTPException(404)
    data = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(data, media_type=MEDIA_TYPES[name], headers={"Cache-Control": "private, max-age=86400"})
