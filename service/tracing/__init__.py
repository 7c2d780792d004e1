"""OpenTelemetry traces of requests and their stages; off by default, then none of it is loaded."""

from typing import TYPE_CHECKING

from service.errors import TracingUnavailable
from service.settings import Settings

if TYPE_CHECKING:
    from service.tracing.spans import Tracing


def tracing_of(settings: Settings) -> "Tracing | None":
    """What makes the spans of an application; None where traces are off.

    Raises:
        TracingUnavailable: they are on and cannot be made.
    """
    check_tracing(settings)
    if not settings.tracing:
        return None
    from service.tracing.spans import Tracing

    return Tracing()


def check_tracing(settings: Settings) -> None:
    """Checks that traces can be made, if they are wanted.

    Raises:
        TracingUnavailable: their packages are not installed, or the exporter is none known here.
    """
    if not settings.tracing:
        return
    try:
        from service.tracing.spans import check_exporter
    except ImportError as error:
        raise TracingUnavailable(
            f"MUTUALREC_TRACING is on and {error.name} is missing; install it with"
            " `pip install 'mutualrec[otel]'`, or turn traces off"
        ) from error
    check_exporter()
