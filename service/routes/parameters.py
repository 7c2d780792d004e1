"""Parameters that several endpoints share."""

from typing import Annotated

from fastapi import Query
from pydantic import WithJsonSchema

from service.errors import InvalidParameter
from service.events import MAX_ID_BYTES, Identifier
from service.filters import MAX_LENGTH
from service.settings import Settings

KQuery = Annotated[
    int | None, Query(ge=1, description="How many; 10 by default; at most `k_max`, 500.")
]
# In a query everything is text, integers too.
SessionId = Annotated[
    Identifier, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES})
]
CatalogQuery = Annotated[str | None, Query(description="By default `default`.")]
MetadataQuery = Annotated[bool, Query(description="Add each item's metadata.")]
FilterQuery = Annotated[
    str | None,
    Query(
        description='Only items that pass, such as `genre = "Drama" and year in 1990..1999`.',
        json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH},
    ),
]


def checked_k(k: int | None, settings: Settings) -> int:
    """How many items to answer with.

    Raises:
        InvalidParameter: more than the settings allow.
    """
    if k is None:
        return settings.k_default
    if k > settings.k_max:
        raise InvalidParameter(f"k is {k}, at most {settings.k_max} items are recommended")
    return k
