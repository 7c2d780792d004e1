"""Settings of the service: defaults here, overrides from ``MUTUALREC_*`` variables."""

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.store.connection import SCHEMES, kind_of, parse_address
from service.versions import check_catalog

ENV_PREFIX = "MUTUALREC_"

_ORIGIN = re.compile(r"https?://[^/?#\s]+")


def _check_redis_url(url: str) -> str:
    # The URL may hold a password, so the message must not hold the URL.
    if not url.startswith(SCHEMES):
        raise ValueError(f"a Redis URL starts with {', '.join(SCHEMES)}")
    if kind_of(url) != "single":
        parse_address(url)
    return url


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_origin(origin: str) -> str:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(
            f"{origin!r} is no origin; one is a scheme and a host with its port if it has one, such"
            " as https://shop.example, or * for all"
        )
    return origin


_Positive = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The resolved settings; immutable, unknown names are errors.

    ``Settings(...)`` takes its arguments, then the process's variables, then the defaults.

    Attributes:
        home: the workspace folder; artifacts lie in ``home/artifacts``.
        redis_url: see `service.store.connection`; None means events cannot be taken.
        host: the address to listen on.
        port: the TCP port to listen on.
        workers: processes that answer; each has its own connections, all share the vectors.
        shutdown_timeout_s: seconds that requests under way may take when the service stops.
        default_catalog: the catalog of requests that name none.
        poll_interval_s: seconds between two looks at every CURRENT.
        items_poll_interval_s: seconds between two looks for items that other workers changed.
        redis_timeout_s: seconds for a connection, and again for a reply.
        redis_max_connections: connections per process; more requests wait `redis_timeout_s`.
        history_cap: newest positive items kept per user, and events per session, for exclusion
            and fold-in.
        history_ttl_s: seconds after a user's last event when that history is forgotten.
        session_ttl_s: seconds after a session's last event when it is forgotten.
        dedupe_ttl_s: seconds during which a repeated event_id is recognised at ingestion.
        attribution_window_s: seconds after a recommendation in which events are counted for it.
        experiment_ttl_s: seconds that a day's counts of recommendations are kept.
        sync_timeout_s: seconds that ``durability=sync`` waits for the disk of Redis.
        max_waiting_events: events of a catalog that may wait to be drained; more are refused.
        max_body_bytes: larger request bodies are refused with 413.
        max_batch_events: larger batches are refused with 413.
        max_batch_users: requests for more users at once are refused with 413.
        lease_ttl_s: seconds after which a trainer that stopped renewing its lease has lost it.
        train_cron: when the scheduler trains, as five fields of cron in UTC; empty for never.
        train_after_events: it also trains after so many new events; None for no number.
        train_jitter_s: seconds by which a training by time may be late, at random.
        train_max_s: seconds after which a training is stopped.
        train_grace_s: seconds that it then has to end in order before it is killed.
        train_nice: niceness of trainings, 0 to 19.
        train_cores: cores that trainings may use; all if None.
        gate: limits of the gate of retrainings, comma-separated ``name=value``.
        retrain_full_every: every how many retrainings one begins with new parameters.
        k_default: recommendations per answer when the request does not say.
        k_max: the most recommendations per answer.
        index: ``cpu`` and ``gpu`` are exact, ``ivf`` is inverted lists; ``auto`` takes a GPU where
            there is one, else what is quicker.
        index_recall: share of the exact results that inverted lists must find.
        search_wait_s: how long a query for the search threads waits for others.
        search_threads: threads for searches too long for the event loop.
        log_level: the lowest level that is logged.
        text_encoder: folder of the encoder of texts that are given with items; none if None.
        tracing: whether requests make OpenTelemetry traces; where they go, ``OTEL_*`` says.
        environment: ``production`` refuses to start without an API key.
        keys_file: the file of API keys; ``home/keys.json`` if None.
        rate_limit: requests per window of each API key; no limit if None.
        rate_window_s: seconds of that window.
        cors_origins: web origins whose scripts may ask; comma-separated, none by default.
        audit_folder: the audit logs of fund recommendations; ``home/audit`` if None.
        audit_rotate_bytes: a file of an audit log that has this size is closed.
        audit_fsync: whether an answer about funds waits until its audit line is on the disk.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Path("var")
    redis_url: Annotated[
        Annotated[str, AfterValidator(_check_redis_url)] | None, Field(repr=False)
    ] = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: _Positive = 1
    shutdown_timeout_s: _Positive = 30
    default_catalog: Annotated[str, AfterValidator(check_catalog)] = "default"
    poll_interval_s: _Seconds = 1.0
    items_poll_interval_s: _Seconds = 0.25
    redis_timeout_s: _Seconds = 0.2
    redis_max_connections: _Positive = 32
    history_cap: _Positive = 500
    history_ttl_s: _Positive = 90 * 86_400
    session_ttl_s: _Positive = 30 * 86_400
    dedupe_ttl_s: _Positive = 86_400
    attribution_window_s: _Positive = 86_400
    experiment_ttl_s: _Positive = 90 * 86_400
    sync_timeout_s: _Seconds = 5.0
    max_waiting_events: _Positive = 4_000_000
    max_body_bytes: _Positive = 1 << 20
    max_batch_events: _Positive = 1000
    max_batch_users: _Positive = 100
    lease_ttl_s: Annotated[float, Field(ge=0.5, le=3600)] = 30.0
    train_cron: str = "0 * * * *"
    train_after_events: _Positive | None = None
    train_jitter_s: Annotated[int, Field(ge=0)] = 0
    train_max_s: _Positive = 6 * 3600
    train_grace_s: _Positive = 30
    train_nice: Annotated[int, Field(ge=0, le=19)] = 10
    train_cores: _Positive | None = None
    gate: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    retrain_full_every: _Positive = 10
    k_default: _Positive = 10
    k_max: _Positive = 500
    index: Literal["auto", "cpu", "ivf", "gpu"] = "auto"
    index_recall: Annotated[float, Field(gt=0, le=1)] = 0.99
    search_wait_s: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    search_threads: _Positive = 1
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    text_encoder: Path | None = None
    tracing: bool = False
    environment: Literal["development", "production"] = "development"
    keys_file: Path | None = None
    rate_limit: _Positive | None = None
    rate_window_s: _Positive = 60
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_check_origin)], ...],
        NoDecode,
        BeforeValidator(_split),
    ] = ()
    audit_folder: Path | None = None
    audit_rotate_bytes: _Positive = 64 << 20
    audit_fsync: bool = True

    @property
    def audit(self) -> Path:
        """The folder of the audit logs."""
        return self.audit_folder or self.home / "audit"

    @property
    def keys(self) -> Path:
        """The file of API keys."""
        return self.keys_file or self.home / "keys.json"

    @property
    def artifacts(self) -> Path:
        """The folder of all catalogs."""
        return self.home / "artifacts"

    @classmethod
    def load(cls, environ: Mapping[str, str], **overrides: object) -> "Settings":
        """Settings from the given variables instead of the process's own; `overrides` win.

        Raises:
            ValueError: a value is not allowed, or a ``MUTUALREC_*`` variable has no meaning.
        """
        token = _ENVIRON.set(environ)
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic checks every value
        finally:
            _ENVIRON.reset(token)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then variables."""
        return init_settings, _EnvironSource(settings_cls, _ENVIRON.get())


_ENVIRON: ContextVar[Mapping[str, str]] = ContextVar("environ", default=os.environ)


class _EnvironSource(EnvSettingsSource):
    """Reads a given mapping; a variable with our prefix that means nothing is an error."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        known = {ENV_PREFIX + name.upper() for name in settings_cls.model_fields}
        names = {name.upper() for name in environ}
        unknown = {name for name in names if name.startswith(ENV_PREFIX)} - known
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}; known are {sorted(known)}")
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}
