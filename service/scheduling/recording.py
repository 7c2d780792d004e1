"""What the trainer with the lease leaves in Redis about its run."""

import logging
from collections.abc import Callable
from importlib.resources import files

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from service.events import PARTITIONS, keys_of
from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import Lease
from service.scheduling.status import RESULTS, Judgement, read_status

logger = logging.getLogger(__name__)

_MAX_MESSAGE = 500


def events_ever(client: Redis, catalog: str) -> int:
    """How many events of a catalog ever came in, drained ones included.

    Raises:
        RedisError: Redis does not answer.
    """
    return sum(_entries_added(client, keys_of(catalog, p).events) for p in range(PARTITIONS))


class RunRecord:
    """One run; where Redis does not answer, what is said of it is lost and the run goes on."""

    def __init__(self, client: Redis, lease: Lease, clock_ms: Callable[[], int]) -> None:
        """Says nothing yet.

        Args:
            client: a connection that may wait for replies.
            lease: the run's lease.
            clock_ms: the time.
        """
        self._client = client
        self._lease = lease
        self._clock_ms = clock_ms
        self._events = 0

    def begin(self) -> None:
        """Says that it works, for whom, and which events it will have seen at least."""
        try:
            self._events = events_ever(self._client, self._lease.catalog)
            wish = read_status(self._client, self._lease.catalog).wish
        except RedisError as error:
            logger.warning("this run is not recorded: %s", error)
            return
        self._write(
            owner=self._lease.owner,
            started_at_ms=self._clock_ms(),
            request_id="" if wish is None else wish.request_id,
        )

    def end(
        self,
        exit_code: int,
        message: str,
        version: str | None,
        judgement: Judgement | None = None,
    ) -> None:
        """Says how it ended, and what the gate said if it came to that."""
        fields: dict[str, str | int] = {
            "finished_at_ms": self._clock_ms(),
            "exit_code": exit_code,
            "message": message[:_MAX_MESSAGE],
            "version": version or "",
        }
        if judgement is not None:
            fields["judgement"] = judgement.encoded().decode()
        if exit_code in RESULTS:
            fields["learned"] = self._events
        self._write(**fields)

    def _write(self, **fields: str | int) -> None:
        script = files("service.scheduling").joinpath("run.lua").read_text(encoding="utf-8")
        given = [str(part) for pair in fields.items() for part in pair]
        key = TrainingKeys(self._lease.catalog).run
        try:
            self._client.eval(script, 1, key, str(self._lease.token), *given)
        except RedisError as error:
            logger.warning("this run is not recorded: %s", error)


def _entries_added(client: Redis, stream: str) -> int:
    try:
        fields = client.xinfo_stream(stream)
    except ResponseError as error:
        if "no such key" in str(error):
            return 0
        raise
    return int(fields["entries-added"])
