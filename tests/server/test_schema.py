"""Requests that are generated from the service's own OpenAPI schema: none makes it fail, and no answer is undocumented."""

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BODIES = ["/predict", "/explain", "/setup"]  # right and wrong ones are generated
ROUTES = [*BODIES, "/webhook", "/health", "/ready", "/versions", "/metrics", "/status"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ROUTES)
def test_no_request_makes_the_service_fail(serve: Callable[..., str], path: str) -> None:
    """Every answer has a status that the schema tells, and the shape that it tells for that."""
    api = schemathesis.openapi.from_url(f"{serve(predict_deadline=5, image_timeout=1)}/openapi.json")
    assert set(api) == set(ROUTES)
    (method,) = api[path]
    cases = api[path][method].as_strategy()
    if path in BODIES:
        cases |= api[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @hypothesis.settings(
        max_examples=300 if path in BODIES else 10,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @hypothesis.given(case=cases)
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=60)

    check()
