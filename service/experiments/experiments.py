"""The experiments that run: known to every worker, asked for nothing on the way of a request."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from service.answers import Demand
from service.catalogs import Catalogs
from service.errors import ArtifactError, ServiceError, StoreUnavailable
from service.events import FEEDBACK_TYPES, Interaction, SessionInteraction, Sign
from service.experiments.arms import Arm, Running, combined
from service.experiments.attribution import attribute
from service.experiments.definition import Experiment
from service.experiments.store import ExperimentStore
from service.experiments.tallies import Tallies
from service.metrics import Metrics
from service.settings import Settings
from service.snapshot import Snapshot
from service.store.client import EventStore

logger = logging.getLogger(__name__)

NO_ARM = ("", "")


class Experiments:
    """Puts people into arms, counts answers, and attributes events to them.

    Attributes:
        store: the experiments in Redis; None without Redis, where none runs.
    """

    def __init__(self, catalogs: Catalogs, settings: Settings, metrics: Metrics) -> None:
        """Reads nothing yet."""
        self.store: ExperimentStore | None = None
        self._events: EventStore | None = None
        self._catalogs = catalogs
        self._settings = settings
        self._metrics = metrics
        self._running: Mapping[str, Sequence[Running]] = {}
        self._tokens: dict[str, bytes | None] = {}
        self._tallies = Tallies()
        self._refreshing = asyncio.Lock()
        self._stopped = False

    def connect(self, events: EventStore) -> None:
        """Uses the connections of `events`."""
        self._events, self.store = events, ExperimentStore(events)

    def treat(
        self, catalog: str, snapshot: Snapshot, unit: str | None, demand: Demand
    ) -> tuple[Snapshot, Demand]:
        """What answers somebody, and what they demand, in the arm they are in.

        Args:
            catalog: the catalog's name.
            snapshot: the version that answers outside of experiments.
            unit: the user, or else the session; None is in no experiment.
            demand: what the request asks for.
        """
        arm = None if unit is None else self._arm(catalog, snapshot, unit)
        if arm is None:
            return snapshot, demand
        if arm.version is not None:
            snapshot = self._catalogs.beside(catalog, arm.version) or snapshot
        return snapshot, demand._replace(arm=arm, rules=combined(demand.rules, arm.rules))

    # Any: JSON.
    def count(self, content: dict[str, Any]) -> None:
        """Counts an answer for its arm, or for those outside of experiments."""
        if self.store is not None:
            self._tallies.add(content)

    async def attribute(
        self,
        catalog: str,
        events: Sequence[Interaction | SessionInteraction],
        signs: Mapping[str, Sign],
    ) -> None:
        """Counts events that were taken, now or before, for the recommendations they name.

        Raises:
            StoreUnavailable: some event got no reply; sending all again is safe.
        """
        if self._events is None or not any(event.recommendation_id for event in events):
            return
        counted = await attribute(
            self._events,
            catalog,
            events,
            signs,
            window_s=self._settings.attribution_window_s,
            ttl_s=self._settings.experiment_ttl_s,
            now_s=int(time.time()),
        )
        for origin, event_type in counted:
            names = self._names(catalog, origin.number, origin.arm)
            # Where any type is taken, clients must not make up labels without end.
            known = event_type in signs or event_type in FEEDBACK_TYPES
            self._metrics.attributed.labels(catalog, *names, event_type if known else "other").inc()

    async def refresh(self, catalog: str) -> None:
        """Serves the catalog's experiments as they are in Redis now.

        Raises:
            StoreUnavailable: there was no reply in time.
        """
        if self.store is None:
            return
        async with self._refreshing:
            token = await self.store.token(catalog)
            if catalog in self._tokens and self._tokens[catalog] == token:
                return
            found = [] if token is None else await self.store.all(catalog)
            running = await self._load(catalog, [one for one in found if one.running])
            self._running = {**self._running, catalog: running}
            self._tokens[catalog] = token
            names = [one.name for one in running]
            logger.info("experiments catalog=%s running=%s", catalog, names)

    async def load_versions(self, catalog: str, versions: set[str]) -> None:
        """Loads versions that arms are about to serve, beside those that they do.

        Raises:
            ArtifactError: one of them cannot be served.
        """
        running = self._running.get(catalog, ())
        known = {version for one in running for version in one.versions}
        await asyncio.to_thread(self._catalogs.keep_beside, catalog, known | versions)

    async def follow(self) -> None:
        """One look at every catalog, and one batch of counts."""
        try:
            for catalog in self._catalogs.names:
                await self.refresh(catalog)
            await self.flush()
        except StoreUnavailable:
            return  # The next round asks again; until then what is known goes on.
        except Exception:
            # It runs in a task of its own, where an error would end all following without a word.
            logger.exception("following the experiments failed")

    async def flush(self) -> None:
        """Adds what was counted to Redis.

        Raises:
            StoreUnavailable: there was no reply in time; the next flush sends it again.
        """
        if self._events is None:
            return
        sent = await self._tallies.flush(self._events, self._settings.experiment_ttl_s)
        for (catalog, _, number, arm), tally in sent:
            names = self._names(catalog, number, arm)
            self._metrics.recommended.labels(catalog, *names).inc(tally.answers)

    async def poll(self, interval_s: float) -> None:
        """Follows until it is stopped."""
        while not self._stopped:
            await asyncio.sleep(interval_s)
            await self.follow()

    async def stop(self) -> None:
        """Ends `poll` after its round, and sends the last counts if Redis takes them."""
        self._stopped = True
        try:
            await self.flush()
        except StoreUnavailable:
            logger.warning("the latest counts of recommendations are lost: Redis did not reply")

    def _arm(self, catalog: str, snapshot: Snapshot, unit: str) -> Arm | None:
        for running in self._running.get(catalog, ()):
            arm = running.arm_of(unit)
            if arm is not None:
                fits = running.fits(
                    snapshot, lambda version: self._catalogs.beside(catalog, version)
                )
                return arm if fits else None
        return None

    async def _load(self, catalog: str, experiments: Sequence[Experiment]) -> list[Running]:
        running = []
        for experiment in experiments:
            try:
                running.append(Running(experiment))
            except ServiceError as error:
                logger.error("experiment=%s cannot run: %s", experiment.name, error.detail)
        try:
            await asyncio.to_thread(
                self._catalogs.keep_beside, catalog, {v for one in running for v in one.versions}
            )
        except (ArtifactError, OSError) as error:
            logger.error("experiments of catalog=%s lack a version: %s", catalog, error)
        return [one for one in running if self._has_versions(catalog, one)]

    def _has_versions(self, catalog: str, running: Running) -> bool:
        return all(self._catalogs.beside(catalog, version) for version in running.versions)

    def _names(self, catalog: str, number: int, arm: int) -> tuple[str, str]:
        for running in self._running.get(catalog, ()):
            if running.number == number:
                return running.name, running.arms[arm].name
        return NO_ARM
