"""Bodies of the answers about versions."""

from pydantic import BaseModel, JsonValue


class VersionEntry(BaseModel):
    """`state` is `current`, `published`, `refused` (by the gate, and why), `held` or `damaged`.

    A `held` version would have been published, had the catalog not been pinned to another one.
    """

    version: str
    state: str
    pinned: bool
    created_at: str | None = None
    ensemble: str | None = None
    members: list[str] = []
    metrics: dict[str, JsonValue] = {}
    gate: dict[str, JsonValue] | None = None


class VersionList(BaseModel):
    """The versions of a catalog, newest last."""

    catalog: str
    versions: list[VersionEntry]


class ChangedValue(BaseModel):
    """A value that differs between two versions."""

    name: str
    old: JsonValue
    new: JsonValue


class VersionDifference(BaseModel):
    """Everything in which two versions differ."""

    old: str
    new: str
    metrics: list[ChangedValue]
    data: list[ChangedValue]
    settings: list[ChangedValue]


class Moved(BaseModel):
    """The version that is current now, and the one before."""

    catalog: str
    current: str
    before: str | None = None
    pinned: str | None = None


class KeptVersion(BaseModel):
    """A version that would have been deleted, and why it was not."""

    version: str
    reason: str


class Pruned(BaseModel):
    """The versions that were deleted, and those kept because something needs them; oldest first."""

    catalog: str
    deleted: list[str]
    kept: list[KeptVersion] = []
