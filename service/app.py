"""The application: parts put together, started and stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from service.logs import configure_logging
from service.middleware import RequestMiddleware
from service.problems import install_problem_handlers
from service.routes import docs, health, interactions, recommend
from service.settings import Settings
from service.state import ServiceState
from service.store.client import EventStore

VERSION = "0.1.0"


def create_app(settings: Settings) -> FastAPI:
    """The service for these settings; nothing is loaded or connected before it starts."""
    configure_logging(settings.log_level)
    state = ServiceState(settings)
    app = FastAPI(
        title="MutualRec",
        version=VERSION,
        description="Recommendations that learn from several modalities at once. Every endpoint"
        " also answers under /v1. Errors are RFC 9457 problem details.",
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = state
    app.add_middleware(
        RequestMiddleware, metrics=state.metrics, max_body_bytes=settings.max_body_bytes
    )
    install_problem_handlers(app)
    for router in (interactions.router, health.router, docs.router, recommend.router):
        app.include_router(router)
        app.include_router(router, prefix="/v1", include_in_schema=False)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ServiceState = app.state.service
    settings = state.settings
    if settings.redis_url is not None:
        state.store = EventStore(settings.redis_url, settings)
    await asyncio.to_thread(state.catalogs.refresh)
    polling = asyncio.create_task(state.catalogs.poll(settings.poll_interval_s))
    try:
        yield
    finally:
        polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling
        state.searches.shutdown()
        if state.store is not None:
            await state.store.close()
