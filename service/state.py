"""What the routes share."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from starlette.requests import Request

from service.access import Keys
from service.catalogs import Catalogs
from service.encoding.encoder import TextEncoder
from service.erasure.following import ErasureFollower
from service.erasure.marks import MarkStore
from service.experiments.experiments import Experiments
from service.funds.audit import AuditTrail
from service.funds.preparing import prepare
from service.index.queue import SearchQueue
from service.items.following import ItemFollower
from service.metrics import Metrics
from service.publishing.following import VersionFollower
from service.rate_limit import RateLimiter
from service.settings import Settings
from service.snapshot import Snapshot
from service.store.client import EventStore
from service.store.items import ItemStore
from service.store.sessions import Sessions
from service.tracing import tracing_of
from service.user_vector import UserVector, make_vectors

if TYPE_CHECKING:
    from service.tracing.spans import Tracing


@dataclass
class ServiceState:
    """One application's parts; what needs Redis is None without a Redis URL.

    `has_started` is set when every catalog was looked at once.
    """

    settings: Settings
    metrics: Metrics = field(init=False)
    catalogs: Catalogs = field(init=False)
    store: EventStore | None = field(init=False, default=None)
    sessions: Sessions | None = field(init=False, default=None)
    items: ItemStore | None = field(init=False, default=None)
    follower: ItemFollower | None = field(init=False, default=None)
    versions: VersionFollower | None = field(init=False, default=None)
    erasures: ErasureFollower | None = field(init=False, default=None)
    experiments: Experiments = field(init=False)
    searches: ThreadPoolExecutor = field(init=False)
    queue: SearchQueue[UserVector] = field(init=False)
    keys: Keys = field(init=False)
    limiter: RateLimiter = field(init=False)
    audit: AuditTrail = field(init=False)
    tracing: "Tracing | None" = field(init=False, default=None)
    encoder: TextEncoder | None = field(init=False, default=None)
    has_started: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.tracing = tracing_of(self.settings)
        if self.tracing is not None:
            self.tracing.watch(self.metrics)
        self.catalogs = Catalogs(
            self.settings.artifacts,
            self.settings.default_catalog,
            self.settings.index,
            self._on_swap,
            self.metrics.search_seconds.observe,
            prepare,
            self.settings.index_recall,
        )
        self.experiments = Experiments(self.catalogs, self.settings, self.metrics)
        threads = self.settings.search_threads
        self.searches = (
            ThreadPoolExecutor(threads, thread_name_prefix="search")
            if self.tracing is None
            else self.tracing.executor(threads)
        )
        self.queue = SearchQueue(
            self.searches,
            self.settings.search_threads,
            make_vectors,
            wait_s=self.settings.search_wait_s,
        )
        self.keys = Keys(self.settings.keys, production=self.settings.environment == "production")
        self.limiter = RateLimiter(
            self.settings.rate_limit,
            self.settings.rate_window_s,
            on_unchecked=self.metrics.unchecked.inc,
        )
        self.audit = AuditTrail(
            self.settings.audit,
            rotate_bytes=self.settings.audit_rotate_bytes,
            fsync=self.settings.audit_fsync,
        )

    def connect(self) -> None:
        """Makes what needs Redis, unless it is there; connections are opened when needed."""
        redis_url = self.settings.redis_url
        if redis_url is None or self.store is not None:
            return
        self.limiter.store = self.store = EventStore(
            redis_url, self.settings, self.metrics.redis_seconds.observe
        )
        self.sessions = Sessions(self.store, self.settings)
        self.items = ItemStore(self.store)
        self.follower = ItemFollower(self.catalogs, self.items)
        self.store.on_erased = self.catalogs.note_erased
        self.erasures = ErasureFollower(self.catalogs, MarkStore(self.store))
        self.versions = VersionFollower(self.catalogs, self.store)
        self.experiments.connect(self.store)

    async def disconnect(self) -> None:
        """Closes all connections to Redis; whoever starts again makes them anew."""
        if self.store is not None:
            await self.store.close()
        self.limiter.store = self.store = None

    def _on_swap(self, catalog: str, old: Snapshot | None, new: Snapshot) -> None:
        published_at = new.artifact.manifest.created_at.timestamp()
        self.metrics.swapped(catalog, old.version if old else None, new.version, published_at)


def state_of(request: Request) -> ServiceState:
    """The application's parts."""
    return cast(ServiceState, request.app.state.service)
