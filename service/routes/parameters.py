"""Parameters that several endpoints share."""

from typing import Annotated

from fastapi import Query

FilterQuery = Annotated[
    str | None,
    Query(
        description='Only items that pass, such as `genre = "Drama" and year in 1990..1999`.',
        json_schema_extra={"minLength": 1, "maxLength": 4096},
    ),
]
