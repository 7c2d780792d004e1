"""The application: parts put together, started and stopped."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from threadpoolctl import threadpool_limits

from service.access import AccessMiddleware, Keys
from service.encoding.encoder import TextEncoder
from service.logs import configure_logging
from service.middleware import RequestMiddleware
from service.openapi import GuardedFastAPI
from service.problems import install_problem_handlers
from service.routes import (
    batch,
    capacity,
    companies,
    docs,
    experiments,
    funds,
    health,
    interactions,
    investments,
    items,
    lists,
    recommend,
    sessions,
    training,
    users,
    versions,
)
from service.routes.lean import LeanRoutes
from service.routing import add_routes
from service.settings import Settings
from service.state import ServiceState

VERSION = "0.1.0"

logger = logging.getLogger(__name__)


def create_app(settings: Settings, on_started: Callable[[], None] | None = None) -> FastAPI:
    """The service for these settings; nothing is loaded or connected before it starts.

    No thread, event loop or connection is made either, so that processes may be forked that each
    start it for themselves.

    Args:
        settings: all of them.
        on_started: called when every catalog was looked at once.
    """
    configure_logging(settings.log_level)
    # Requests are answered side by side: BLAS' threads would only take turns with one another.
    threadpool_limits(1, user_api="blas")
    state = ServiceState(settings)
    app = GuardedFastAPI(
        title="MutualRec",
        version=VERSION,
        description="Recommendations that learn from several modalities at once. Every endpoint"
        " also answers under /v1. Errors are RFC 9457 problem details.",
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own spans hold paths, hence ids of users.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = state
    app.state.on_started = on_started
    _add_middleware(app, state)
    install_problem_handlers(app)
    for router in (
        # Routes are tried in this order: those that are asked for most come first.
        recommend.router,
        interactions.router,
        batch.router,
        lists.router,
        items.router,
        sessions.router,
        users.router,
        health.router,
        docs.router,
        funds.router,
        investments.router,
        companies.router,
        versions.router,
        capacity.router,
        training.router,
        experiments.router,
    ):
        add_routes(app, router)
    return app


def _add_middleware(app: FastAPI, state: ServiceState) -> None:
    """From the innermost outwards."""
    settings = state.settings
    app.add_middleware(LeanRoutes, routes=app.router.routes, handlers=app.exception_handlers)
    app.add_middleware(AccessMiddleware, keys=state.keys, limiter=state.limiter)
    app.add_middleware(
        RequestMiddleware, metrics=state.metrics, max_body_bytes=settings.max_body_bytes
    )
    if state.tracing is not None:
        from service.tracing.spans import TracingMiddleware

        app.add_middleware(TracingMiddleware, tracing=state.tracing)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "X-API-Key"),
            expose_headers=("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"),
        )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ServiceState = app.state.service
    settings = state.settings
    if state.tracing is not None:
        state.tracing.open()
    state.keys.load()
    if state.keys.ring is None:
        logger.warning(
            "anybody who reaches %s may ask and write; `mutualrec keys create` ends that",
            settings.host,
        )
    if settings.text_encoder is not None:
        state.encoder = await asyncio.to_thread(TextEncoder.load, settings.text_encoder)
    state.connect()
    await asyncio.to_thread(state.catalogs.refresh)
    if state.erasures is not None:
        await state.erasures.catch_up_all()
    await state.experiments.follow()
    state.has_started = True
    if app.state.on_started is not None:
        app.state.on_started()
    polling = [
        asyncio.create_task(state.catalogs.poll(settings.poll_interval_s)),
        asyncio.create_task(_poll_keys(state.keys, settings.poll_interval_s)),
    ]
    polling.append(asyncio.create_task(state.experiments.poll(settings.poll_interval_s)))
    if state.follower is not None:
        polling.append(asyncio.create_task(state.follower.poll(settings.items_poll_interval_s)))
    if state.erasures is not None:
        polling.append(asyncio.create_task(state.erasures.poll(settings.items_poll_interval_s)))
    if state.versions is not None:
        polling.append(asyncio.create_task(state.versions.follow(settings.poll_interval_s)))
    try:
        yield
    finally:
        if state.follower is not None:
            state.follower.stop()
        if state.erasures is not None:
            state.erasures.stop()
        if state.versions is not None:
            state.versions.stop()
        await state.experiments.stop()
        for task in polling:
            task.cancel()
        await asyncio.gather(*polling, return_exceptions=True)
        state.searches.shutdown()
        await state.disconnect()
        if state.tracing is not None:
            await asyncio.to_thread(state.tracing.close)


async def _poll_keys(keys: Keys, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        keys.refresh()
