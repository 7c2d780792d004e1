"""What the service is compared with: FastAPI with endpoints that do nothing.

It returns the JSON that the service returned, which its caller lays into a file.
"""

import json
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response

BODY = "EMPTY_BODY"
"""The variable that names the file of the body."""


def create_empty() -> FastAPI:
    """The application; ``/recommend`` sends ready bytes, ``/content`` has FastAPI encode them."""
    body = Path(os.environ[BODY]).read_bytes()
    content = json.loads(body)
    app = FastAPI()

    @app.get("/recommend/{user_id}")
    async def recommend(user_id: str) -> Response:  # noqa: ARG001
        return Response(body, media_type="application/json")

    @app.post("/empty")
    async def take() -> Response:
        return Response(body, 202, media_type="application/json")

    @app.get("/content/{user_id}")
    async def recommend_content(user_id: str) -> Any:  # noqa: ARG001
        return content

    return app
