"""How routes are added to the application."""

import copy
import re

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

VERSION_PREFIX = "/v1"


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Adds the routes of a router, each of which also answers under ``/v1``.

    ``FastAPI.include_router`` would keep the router, and look through every router twice for every
    request, which takes longer than answering it; here the routes themselves are added.
    """
    for route in router.routes:
        assert isinstance(route, APIRoute)
        # The router's own may be added to another application as well.
        added = copy.copy(route)
        # The pattern starts with "^".
        added.path_regex = re.compile(f"^(?:{VERSION_PREFIX})?{route.path_regex.pattern[1:]}")
        app.router.routes.append(added)
