"""The parts that all pages share: templates, assets, the headers that keep a page to itself, and who may change something."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader
from starlette.staticfiles import StaticFiles

from ml_backend import __version__
from ml_backend.feedback.evaluation.report_page import TEMPLATES
from ml_backend.server.auth import Credentials, authenticate
from ml_backend.settings import Settings

HERE = Path(__file__).parent

# Nothing but this service's own files, and pictures that a script made in the browser (blob:). No style or script in the page itself,
# so that no label or name that somebody chose can become one.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PRIVATE = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "same-origin",  # with "no-referrer", browsers hide the origin of the page's own forms, too
    "X-Content-Type-Options": "nosniff",
}
"""Headers of everything that belongs to those who have the password."""

_templates = Environment(
    loader=FileSystemLoader([HERE / "templates", TEMPLATES]),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_assets = StaticFiles(directory=HERE / "assets", packages=[("ml_backend.feedback.evaluation", "assets")])

router = APIRouter(include_in_schema=False)


def render(template: str, values: dict[str, Any], *, up: str = "") -> HTMLResponse:
    """Return a page.

    Args:
        template: name of its file.
        values: of the template.
        up: the way from the page's address to that of the service, such as ``../`` for ``/projects/1``. Addresses in pages are relative,
            since a proxy may serve Prelabel below a path.
    """
    content = _templates.get_template(template).render({"version": __version__, "up": up} | values)
    return HTMLResponse(content, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, **PRIVATE})


@router.get("/assets/{name}", dependencies=[Depends(authenticate)])
async def asset(name: str, request: Request) -> Response:
    """Return a script or a style. Browsers ask each time whether it has changed, so that no script of an older version stays."""
    found = await _assets.get_response(name, request.scope)
    found.headers.update({"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"})
    return found


def has_password(settings: Settings) -> bool:
    """Tell whether the service asks for a password."""
    return settings.basic_auth_user is not None and settings.basic_auth_pass is not None


async def with_password(request: Request, given: Credentials) -> str:
    """Require that the service asks for a password, and that this request has it; gives the user.

    Raises:
        HTTPException: 401 without the password, 403 where none is set.
    """
    await authenticate(request, given)
    if given is None or not has_password(request.app.state.service.settings):
        raise HTTPException(
            403,
            "only with a password: set BASIC_AUTH_USER and BASIC_AUTH_PASS where Prelabel runs, and in Label Studio",
        )
    return given.username


async def keep_private(response: Response) -> None:
    """Let nobody on the way keep the answer of a route."""
    response.headers.update(PRIVATE)


async def from_own_page(request: Request) -> None:
    """Refuse requests that a page of another site makes, to which a browser would add the password.

    Browsers say where a request comes from: by ``Sec-Fetch-Site`` (Fetch Metadata), or by ``Origin``. Other clients say nothing.

    Raises:
        HTTPException: 403.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    own = {f"{scheme}://{request.headers.get('Host', '')}" for scheme in ("http", "https")}
    if site not in {None, "same-origin", "none"} or (site is None and origin is not None and origin not in own):
        raise HTTPException(403, "the request comes from another site")


Author = Annotated[str, Depends(with_password)]
"""The user whose password a request has."""
