"""Every error as ``application/problem+json`` (RFC 9457), made here and nowhere else."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from service.errors import FieldError, PayloadTooLarge, ServiceError

MEDIA_TYPE = "application/problem+json"
_TITLES = {PayloadTooLarge.status: PayloadTooLarge.title}


def problem(
    scope: Scope,
    status: int,
    detail: str,
    *,
    title: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for one error.

    Args:
        scope: the ASGI scope of the request.
        status: HTTP status.
        detail: what was wrong and what to do.
        title: the kind of error, stable; the status' own phrase if None.
        errors: single faults.
        headers: further headers.
    """
    title = title or _TITLES.get(status)
    phrase = HTTPStatus(status).phrase
    content = {
        "type": "about:blank" if title is None else f"urn:mutualrec:problem:{_slug(title)}",
        "title": title or phrase,
        "status": status,
        "detail": detail,
        "instance": scope["path"],
        "errors": list(errors),
        "request_id": scope.get("state", {}).get("request_id"),
    }
    # A path may hold anything; what is not UTF-8 was replaced when it was decoded.
    return Response(orjson.dumps(content), status, dict(headers or {}), MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Makes the application answer every kind of error with a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return problem(
        request.scope,
        error.status,
        error.detail,
        title=error.title,
        errors=error.errors,
        headers=headers,
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: f"there is nothing at {request.url.path}; see /docs",
        405: f"{request.method} is not allowed at {request.url.path}; see /docs",
    }
    detail = details.get(error.status_code, error.detail)
    return problem(request.scope, error.status_code, detail, headers=error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors: list[FieldError] = [
        {"location": ".".join(str(part) for part in fault["loc"]), "error": fault["msg"]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['location']}: {fault['error']}" for fault in errors)
    return problem(request.scope, 422, detail, title="Validation failed", errors=errors)


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")
