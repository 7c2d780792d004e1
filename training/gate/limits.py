"""What a candidate is held against; every number can be set."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

from training.errors import DataError

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Limits:
    """The holdout's size, and from where on a check fails.

    Args:
        holdout_share: Share of the new interactions that is held out, the newest ones.
        holdout_pairs: With fewer held out, up to half of the new interactions are.
        min_users: Rankings of fewer users are too few to judge by.
        max_loss: Share of the champion's mean NDCG@20 that a candidate may lose.
        cold_pairs: A user with fewer known interactions is cold.
        min_kept: Least share of the champion's interactions that must still be in the data.
        min_coverage: Least share of the champion's number of different items in the lists.
        max_popularity: Most times as popular items in the lists as in the champion's.
        max_norm_change: Most times as long, or as short, vectors as the champion's.
        max_empty: Largest share of users and items with interactions whose vector is zero.
        min_index_recall: Least share of the exact top 20 that the index must find.
        max_latency: Most times as slow a search as the champion's.
        latency_floor_ms: Searches faster than this are fast enough at any ratio.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    holdout_share: Share = 0.2
    holdout_pairs: Number = 1000
    min_users: Annotated[int, Field(ge=1)] = 20
    max_loss: Share = 0.1
    cold_pairs: Number = 5
    min_kept: Share = 0.8
    min_coverage: Share = 0.5
    max_popularity: Factor = 2.0
    max_norm_change: Factor = 10.0
    max_empty: Share = 0.01
    min_index_recall: Share = 0.99
    max_latency: Factor = 3.0
    latency_floor_ms: Annotated[float, Field(ge=0)] = 5.0


def parse_limits(values: Mapping[str, object]) -> Limits:
    """Read limits by name; those left out have their defaults.

    Raises:
        DataError: A name or a value does not fit; the message lists the names.
    """
    try:
        return TypeAdapter(Limits).validate_python(dict(values))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        known = ", ".join(field.name for field in fields(Limits))
        raise DataError(f"limits of the gate: {problems} (known: {known})") from error
