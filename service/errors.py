"""Errors of the service.

::

    ServiceError                 has an HTTP status and a title
     ├ BadRequest           400  the request cannot be understood
     ├ UnknownCatalog       404  no catalog of that name
     ├ UnknownItem          404  no item of that id in the catalog
     ├ UnknownVersion       404  no such version in the catalog
     ├ VersionConflict      409  the version cannot become current, or must stay
     ├ UnknownExperiment    404  no experiment of that name in the catalog
     ├ ExperimentConflict   409  another experiment is in the way
     ├ PayloadTooLarge      413  the body or the batch is over its limit
     ├ UnsupportedMediaType 415  the body is neither JSON nor NDJSON
     ├ InvalidParameter     422  a parameter has a value that is not allowed
     ├ InvalidEvents        422  no event of the batch is valid
     ├ DurabilityUnsupported 501 Redis cannot say when something is on its disk
     ├ NotReady             503  the catalog has no artifact yet
     ├ ArtifactsReadOnly    503  this service may not write into the artifact folder
     ├ StoreFull            503  too many events wait to be drained
     └ StoreUnavailable     503  Redis did not reply
    ArtifactError
     ├ ArtifactNameInvalid       a catalog, version or file name that could leave its folder
     ├ ArtifactNotFound          no such catalog or version
     ├ ArtifactCorrupt           checksum, size, shape, dtype or values are wrong
     ├ ArtifactIncompatible      written by a newer version of this program
     ├ VersionPinned             the catalog is pinned to a version, so that nothing may move it
     ├ CurrentMoved              another version became current while a candidate was judged
     ├ LeaseHeld                 another trainer is at work on the catalog
     └ TrainerFenced             a newer trainer has begun, or the lease is another's
    KeysError
     ├ KeysInvalid               the file of API keys, or a change of it, makes no sense
     ├ KeysMissing               in production nobody is let in without a key, and there is none
     └ UnknownKey                no API key of that name
    IndexUnavailable             the wanted kind of index cannot run on this machine
    TracingUnavailable           traces are wanted, and cannot be made or sent
    EncoderUnavailable           texts are to be encoded, and the encoder cannot be used
"""

from collections.abc import Sequence
from typing import ClassVar, TypedDict


class FieldError(TypedDict, total=False):
    """One entry of a problem's ``errors`` list."""

    index: int
    location: str
    error: str


class ServiceError(Exception):
    """A request that cannot be served, with the HTTP status that says why.

    Args:
        detail: what was wrong, the values, and what to do.
        errors: the single faults when there are several.
        retry_after_s: seconds after which trying again makes sense, if it does.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal server error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class BadRequest(ServiceError):
    """The request cannot be understood."""

    status = 400
    title = "Bad request"


class UnknownCatalog(ServiceError):
    """No catalog of that name is served."""

    status = 404
    title = "Unknown catalog"


class UnknownItem(ServiceError):
    """No item of that id is in the catalog."""

    status = 404
    title = "Unknown item"


class UnknownVersion(ServiceError):
    """No such version is in the catalog."""

    status = 404
    title = "Unknown version"


class VersionConflict(ServiceError):
    """A version cannot become current, or must stay."""

    status = 409
    title = "Version conflict"


class UnknownExperiment(ServiceError):
    """The catalog has no experiment of that name."""

    status = 404
    title = "Unknown experiment"


class ExperimentConflict(ServiceError):
    """Another experiment is in the way."""

    status = 409
    title = "Experiment conflict"


class PayloadTooLarge(ServiceError):
    """The body or the batch is over its limit."""

    status = 413
    title = "Payload too large"


class UnsupportedMediaType(ServiceError):
    """The body is neither JSON nor NDJSON."""

    status = 415
    title = "Unsupported media type"


class InvalidParameter(ServiceError):
    """A parameter has a value that is not allowed."""

    status = 422
    title = "Validation failed"


class InvalidEvents(ServiceError):
    """No event of the request is valid."""

    status = 422
    title = "Validation failed"


class NotReady(ServiceError):
    """The catalog has no artifact yet, so it cannot answer."""

    status = 503
    title = "Not ready"


class ArtifactsReadOnly(ServiceError):
    """This service may not write into the artifact folder."""

    status = 503
    title = "Artifacts are read-only here"


class StoreUnavailable(ServiceError):
    """Redis did not reply; nothing was acknowledged."""

    status = 503
    title = "Event store unavailable"


class DurabilityUnsupported(ServiceError):
    """The event store cannot say when something is on its disk."""

    status = 501
    title = "Not supported"


class StoreFull(ServiceError):
    """Too many events wait to be drained; trimming them would lose them.

    Args:
        refused: places of the events that were not taken; the others were.
        num_events: how many there were altogether.
        retry_after_s: seconds after which trying again makes sense.
    """

    status = 503
    title = "Event store full"

    def __init__(
        self, refused: Sequence[int], num_events: int, *, retry_after_s: int | None
    ) -> None:
        super().__init__(
            f"{len(refused)} of {num_events} events were not taken, because too many wait to be"
            " drained; send them again later with the same event_ids, and see that"
            " `mutualrec retrain` runs often enough",
            errors=[{"index": index, "error": "the stream is full"} for index in refused],
            retry_after_s=retry_after_s,
        )
        self.refused = tuple(refused)
        self.num_events = num_events


class ArtifactError(Exception):
    """An artifact version cannot be written, found or used."""


class ArtifactNameInvalid(ArtifactError, ValueError):
    """A catalog, version or file name that could leave its folder."""


class ArtifactNotFound(ArtifactError):
    """The catalog or the version does not exist."""


class ArtifactCorrupt(ArtifactError):
    """A checksum, size, shape, dtype or value is not what the manifest promises."""


class ArtifactIncompatible(ArtifactError):
    """The artifact was written by a newer version of this program."""


class VersionPinned(ArtifactError):
    """The catalog is pinned to a version; nothing moves it until it is unpinned."""


class CurrentMoved(ArtifactError):
    """Another version became current while a candidate was judged."""


class TrainerFenced(ArtifactError):
    """A trainer may not publish: a newer one has begun, or its lease is another's."""


class LeaseHeld(ArtifactError):
    """Another trainer is at work on the catalog; the message says which."""


class IndexUnavailable(Exception):
    """The wanted kind of index cannot run on this machine."""


class TracingUnavailable(Exception):
    """Traces are wanted, and cannot be made or sent."""


class EncoderUnavailable(Exception):
    """Texts are to be encoded, and the encoder cannot be used."""


class KeysError(Exception):
    """API keys cannot be read, changed or done without."""


class KeysInvalid(KeysError):
    """The file of API keys, or a change of it, makes no sense."""


class KeysMissing(KeysError):
    """In production nobody is let in without a key, and there is none."""


class UnknownKey(KeysError):
    """There is no API key of that name."""
