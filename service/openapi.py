"""What every guarded operation has in common, added to the OpenAPI document in one place."""

from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import needed_scope
from service.schemas import problem_responses

_SCHEMES = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_REFUSALS = (401, 403, 429)


class GuardedFastAPI(FastAPI):
    """FastAPI whose document says which scope an operation needs, and how it is refused."""

    def build_middleware_stack(self) -> ASGIApp:
        """The layers around the routes, without those of FastAPI's that have nothing to do here.

        Whatever fails is answered by our own middleware, which also limits bodies, and FastAPI's
        telemetry is off.
        """
        app: ASGIApp = AsyncExitStackMiddleware(self.router)
        app = ExceptionMiddleware(app, self.exception_handlers)
        for layer, arguments, options in reversed(self.user_middleware):
            app = layer(app, *arguments, **options)
        return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection event, without asking each time whether telemetry is on."""
        if scope["type"] == "http" and self.middleware_stack is not None and not self.root_path:
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    # Any: an OpenAPI document is JSON.
    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document.setdefault("components", {})["securitySchemes"] = _SCHEMES
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    _guard(operation, needed_scope(method.upper(), path))
            for route in self.routes:
                if isinstance(route, APIRoute) and route.include_in_schema:
                    _complete_examples(route, document["paths"][route.path_format])
        return super().openapi()


def _complete_examples(route: APIRoute, methods: dict[str, Any]) -> None:
    """Puts examples of answers as they were given; FastAPI leaves out what is null in them."""
    for method in route.methods or ():
        for status, answer in route.responses.items():
            for kind, media in answer.get("content", {}).items():
                if "example" in media:
                    documented = methods[method.lower()]["responses"][str(status)]["content"]
                    documented[kind]["example"] = media["example"]


def _guard(operation: dict[str, Any], scope: str | None) -> None:
    if scope is None:
        operation["security"] = []
        return
    # Scopes are not part of these schemes in OpenAPI 3.1, but their names may be listed.
    operation["security"] = [{name: [scope]} for name in _SCHEMES]
    for status, response in problem_responses(*_REFUSALS).items():
        operation["responses"].setdefault(str(status), response)
    operation["responses"] = dict(sorted(operation["responses"].items()))
