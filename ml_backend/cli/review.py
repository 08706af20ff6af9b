"""``prelabel review``: drawn boxes that the detections contradict, as a list, and as a tab of Label Studio."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import typer

from ml_backend.cli.common import app, complain, err, out, plain_errors
from ml_backend.cli.feedback import AsJson, ProjectId
from ml_backend.logs import configure_logging
from ml_backend.settings import load_settings

TAB = "Check these (Prelabel)"
TOP = 20


@app.command()
def review(
    project: ProjectId,
    top: Annotated[int, typer.Option(min=1, max=500, metavar="N", help="Most boxes to list.")] = TOP,
    tab: Annotated[
        bool,
        typer.Option(
            "--tab", help=f"Write a tab of Label Studio's data manager with their tasks, “{TAB}”, or update it."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List drawn boxes that the detections contradict, and confident detections that nobody drew, as candidates for a second look.

    They are candidates, not errors: the detector errs more often than people. No model runs, and nothing is changed but the tab.
    """
    with plain_errors():
        settings = load_settings()
        configure_logging("warning")
        from ml_backend.cli.review_table import print_review
        from ml_backend.feedback.evaluation.report import task_links
        from ml_backend.feedback.learning.review import review_project
        from ml_backend.feedback.store.database import Database
        from ml_backend.feedback.store.projects import get_project
        from ml_backend.label_studio.client import StudioClient

        client = StudioClient.of(settings) if tab else None  # a missing token is found before the evaluation
        with (
            closing(Database(settings.database_address)) as database,
            database.reading() as connection,
            err.status("evaluating annotations"),
        ):
            about = get_project(connection, project, database.place)
            found = review_project(connection, about, settings, top)
        link: Callable[[int], str] = task_links(settings.label_studio_url, project)
        address = ""
        if client is not None:
            with err.status("writing the tab"):
                number = client.put_tab(project, TAB, found.tasks)
            address = f"{client.url}/projects/{project}/data?tab={number}"
        if as_json:
            values = {"project": project, "tab": address or None} | found.to_json(link)
            out.out(json.dumps(values, indent=2), highlight=False)
            return
        print_review(found, link)
        if not found.annotations:
            complain(f"no annotation with detections was found in the database {database.place}", style="yellow")
        if address:
            out.print(f"the tab with these tasks: {address}", highlight=False, markup=False, soft_wrap=True)
