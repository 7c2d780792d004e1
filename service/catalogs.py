"""The catalogs being served: one reference to a snapshot each, swapped when CURRENT moves."""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from service.artifact import check_catalog, current_version, list_catalogs, load_artifact
from service.erasure.hiding import hiding, without_funds
from service.erasure.marks import Erased, Marks
from service.errors import ArtifactError, NotReady, UnknownCatalog
from service.index import IndexKind
from service.item_change import ItemChange
from service.items.extended import extend
from service.memory import give_back
from service.snapshot import Snapshot, build_snapshot
from service.versions import CURRENT

logger = logging.getLogger(__name__)

OnSwap = Callable[[str, Snapshot | None, Snapshot], None]
Prepare = Callable[[Snapshot], None]


class Catalogs:
    """Holds the snapshots. Reading takes no lock; loading happens beside the requests.

    A version that cannot be loaded is logged once and the old one keeps serving; it is tried again
    when its CURRENT is written again.
    """

    def __init__(
        self,
        root: Path,
        default_catalog: str,
        index: IndexKind,
        on_swap: OnSwap,
        observe_search: Callable[[float], None] | None = None,
        prepare: Prepare = lambda _: None,
        recall: float = 1.0,
    ) -> None:
        """Loads nothing yet.

        Args:
            root: the folder of all catalogs.
            default_catalog: a name that is always known, published or not.
            index: the kind of index to build.
            on_swap: called with the catalog, the old snapshot and the new one.
            observe_search: called with the seconds of every search.
            prepare: computes what requests would wait for, before a version is served.
            recall: the share of the exact results that an index which is not exact must find.
        """
        self._root = root
        self._default = default_catalog
        self._index = index
        self._on_swap = on_swap
        self._observe_search = observe_search
        self._prepare = prepare
        self._recall = recall
        self._snapshots: Mapping[str, Snapshot] = {}
        self._published: dict[str, Snapshot] = {}
        self._beside: dict[str, dict[str, Snapshot]] = {}
        self._served_beside: Mapping[tuple[str, str], Snapshot] = {}
        self._changes: dict[str, dict[str, ItemChange]] = {}
        self._erased: dict[str, Erased] = defaultdict(Erased)
        self._refused: dict[str, int] = {}
        self._names: frozenset[str] = frozenset({default_catalog})
        self._refreshing = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Known catalogs, sorted."""
        return sorted(self._names)

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """Catalogs that can answer."""
        return self._snapshots

    def require_known(self, catalog: str | None) -> str:
        """The catalog's name, the default's for None.

        Raises:
            UnknownCatalog: naming the known ones.
        """
        name = catalog or self._default
        if name not in self._names:
            raise UnknownCatalog(
                f"there is no catalog {name!r}; known catalogs are: {', '.join(self.names)}"
            )
        return name

    def snapshot(self, catalog: str | None) -> tuple[str, Snapshot]:
        """The catalog's name and the snapshot that answers now.

        Raises:
            UnknownCatalog: naming the known ones.
            NotReady: the catalog has no version that could be loaded.
        """
        name = self.require_known(catalog)
        snapshot = self._snapshots.get(name)
        if snapshot is None:
            raise NotReady(
                f"catalog {name!r} has no artifact yet; publish one with `mutualrec publish`",
                retry_after_s=5,
            )
        return name, snapshot

    def beside(self, catalog: str, version: str) -> Snapshot | None:
        """A version that is served beside the current one; None unless `keep_beside` loaded it."""
        return self._served_beside.get((catalog, version))

    def keep_beside(self, catalog: str, versions: Collection[str]) -> None:
        """Serves these versions beside the current one, and no others. Blocks; call in a thread.

        Raises:
            ArtifactError: one cannot be loaded; those that can be are served.
        """
        with self._refreshing:
            known = self._beside.get(catalog, {})
            kept = {version: known[version] for version in versions if version in known}
            self._beside[catalog] = kept
            current = self._published.get(catalog)
            if current is not None and current.version in versions:
                kept[current.version] = current
            try:
                for version in sorted(set(versions) - set(kept)):
                    kept[version] = self._load(catalog, version)
            finally:
                self._serve_beside(catalog)

    def refresh(self) -> None:
        """Loads and swaps in every version that CURRENT newly names. Blocks; call in a thread.

        Raises:
            IndexUnavailable: the configured index cannot run here.
        """
        with self._refreshing:
            published = list_catalogs(self._root)
            for catalog in published:
                written_ns = self._written_ns(catalog)
                if self._refused.get(catalog) == written_ns:
                    continue
                try:
                    self._refresh_one(catalog)
                except (ArtifactError, OSError) as error:
                    self._refused[catalog] = written_ns
                    self._log_refusal(catalog, error)
            self._names |= frozenset(published)

    def change_items(
        self, catalog: str, changes: Iterable[ItemChange], *, anew: bool = False
    ) -> None:
        """Serves the catalog with these changes of its items. Blocks; call in a thread.

        Args:
            catalog: a known catalog.
            changes: the latest state of items; those said earlier of others stay.
            anew: forget what was said earlier.
        """
        with self._refreshing:
            known = {} if anew else self._changes.get(catalog, {})
            self._changes[catalog] = known | {change.item_id: change for change in changes}
            published = self._published.get(catalog)
            if published is not None:
                self._serve(catalog, self._extended(catalog, published))
            self._serve_beside(catalog)
            if published is not None:
                # What was said of an item is served at once, and prepared for after that.
                self._prepare(self._snapshots[catalog])

    def note_erased(self, catalog: str, user_id: str, stream_id: str) -> None:
        """Takes in that a user was erased, as of a tombstone, as their history says."""
        self._erased[catalog].note(user_id, stream_id)

    def erase(self, catalog: str, marks: Marks, *, lost: bool = False) -> None:
        """Serves the catalog without erased users. Blocks; call in a thread.

        Args:
            catalog: a known catalog.
            marks: who was erased.
            lost: there are others, of whom only this worker knows.
        """
        erased = self._erased[catalog]
        (erased.add if lost else erased.replace)(marks)
        published = self._published.get(catalog)
        if published is not None and published.artifact.funds is not None:
            # Lists of funds are made of a version as a whole.
            self.change_items(catalog, ())

    async def poll(self, interval_s: float) -> None:
        """Refreshes for ever."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:
                # Whatever it was, the snapshots in use are whole, and later versions must come.
                logger.exception("refreshing the catalogs failed")

    def _refresh_one(self, catalog: str) -> None:
        version = current_version(self._root, check_catalog(catalog))
        old = self._snapshots.get(catalog)
        if version is None or (old is not None and old.version == version):
            return
        new = self._load(catalog, version)
        self._published[catalog] = new
        served = self._extended(catalog, new)
        self._prepare(served)
        self._serve(catalog, served)
        logger.info(
            "swapped catalog=%s old=%s new=%s search_ms=%.3f",
            catalog,
            old.version if old else None,
            version,
            new.search_s * 1000,
        )
        self._on_swap(catalog, old, new)
        give_back()  # loading needs more for a while, and the old version may be gone

    def _load(self, catalog: str, version: str) -> Snapshot:
        artifact = load_artifact(self._root, catalog, version)
        snapshot = build_snapshot(artifact, self._index, self._observe_search, recall=self._recall)
        return hiding(snapshot, self._erased[catalog])

    def _serve(self, catalog: str, snapshot: Snapshot) -> None:
        self._snapshots = {**self._snapshots, catalog: snapshot}

    def _serve_beside(self, catalog: str) -> None:
        others = {key: s for key, s in self._served_beside.items() if key[0] != catalog}
        served = {
            (catalog, version): self._extended(catalog, published)
            for version, published in self._beside.get(catalog, {}).items()
        }
        self._served_beside = others | served

    def _extended(self, catalog: str, published: Snapshot) -> Snapshot:
        changes = self._changes.get(catalog, {})
        served = extend(published, changes.values()) if changes else published
        return without_funds(served)

    def _log_refusal(self, catalog: str, error: Exception) -> None:
        old = self._snapshots.get(catalog)
        keeps = f"version {old.version} keeps serving" if old else "the catalog cannot answer"
        logger.error("refused catalog=%s: %s; %s", catalog, error, keeps)

    def _written_ns(self, catalog: str) -> int:
        try:
            return (self._root / catalog / CURRENT).stat().st_mtime_ns
        except FileNotFoundError:
            return 0
