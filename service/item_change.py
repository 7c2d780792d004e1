"""What was said of an item since the version was trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import JsonValue


@dataclass(frozen=True, eq=False)
class ItemChange:
    """The latest state of one item that is not the version's own.

    Attributes:
        item_id: any id.
        number: rises with every change in the catalog.
        deleted: it is gone, and hidden where the version still knows it.
        hidden: it is never recommended.
        metadata: values that replace the version's; other fields keep theirs.
        features: modality to a vector [d] float32 of any length.
        encoders: modality to the digest of the encoder, of those vectors that were encoded here.
    """

    item_id: str
    number: int
    deleted: bool = False
    hidden: bool = False
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    encoders: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> bool:
        """Whether it may be recommended."""
        return not (self.deleted or self.hidden)

    def encoded(self) -> bytes:
        """Everything but id and number, as JSON."""
        content = {
            "deleted": self.deleted,
            "hidden": self.hidden,
            "metadata": self.metadata,
            "features": dict(self.features),
            "encoders": self.encoders,
        }
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)

    @classmethod
    def decoded(cls, item_id: str, number: int, body: bytes) -> "ItemChange":
        """Reverses `encoded`."""
        content = orjson.loads(body)
        features = {
            name: np.array(values, np.float32) for name, values in content.pop("features").items()
        }
        return cls(item_id, number, features=features, **content)
