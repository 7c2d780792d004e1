"""The client that waits for its answers."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from mutualrec.client import calls
from mutualrec.client.call import Call
from mutualrec.client.errors import InvalidRequest, MutualRecError, StreamInterrupted
from mutualrec.client.events import Event, Lined, Lines, Tally
from mutualrec.client.groups import Companies, Experiments, Funds, Items, Users, Versions
from mutualrec.client.options import (
    BatchOptions,
    InCatalog,
    ListOptions,
    PopularOptions,
    SendOptions,
    SimilarOptions,
    UserOptions,
)
from mutualrec.client.retry import Attempts, Pace, Retry
from mutualrec.client.settings import BATCH_SIZE, NDJSON, TIMEOUT_S, headers_of
from service.schemas import (
    BatchResponse,
    IngestResponse,
    LoginResponse,
    PopularResponse,
    RecommendResponse,
    SimilarResponse,
)

T = TypeVar("T")


class Client:
    """A connection to a service; safe to share among threads.

    Attributes:
        items: adding, changing and removing items.
        users: what is known of users, and forgetting them (admin).
        versions: the versions of a catalog (admin).
        experiments: experiments (admin).
        funds: fund companies and where they may invest next.
        companies: listed companies and who may invest in them.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Connects when it is first needed.

        Args:
            base_url: of the service, such as ``http://127.0.0.1:8000``.
            api_key: sent as ``X-API-Key``.
            timeout_s: the longest to wait for a connection, and for any part of an answer.
            retry: how often and how patiently a request is sent again.
            transport: how requests travel, for proxies and tests.
            sleep: waits so many seconds.
            clock: seconds, never going back.
            rng: draws how long to wait.
        """
        self._retry = retry or Retry()
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._pace = Pace(clock, self._retry.patience_s)
        self._http = httpx.Client(
            base_url=base_url, headers=headers_of(api_key), timeout=timeout_s, transport=transport
        )
        self.items = Items(self._do)
        self.users = Users(self._do)
        self.versions = Versions(self._do)
        self.experiments = Experiments(self._do)
        self.funds = Funds(self._do)
        self.companies = Companies(self._do)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def recommend(self, user_id: str, **options: Unpack[UserOptions]) -> RecommendResponse:
        """The best items for a user; unknown users get popular ones."""
        return self._do(calls.recommend(user_id, options))

    def recommend_session(
        self, session_id: str, **options: Unpack[ListOptions]
    ) -> RecommendResponse:
        """The best items for someone who has not said who they are."""
        return self._do(calls.recommend_session(session_id, options))

    def recommend_many(
        self, users: Sequence[str], **options: Unpack[BatchOptions]
    ) -> BatchResponse:
        """The best items for several users (or a session) under rules, in their order."""
        return self._do(calls.recommend_many(users, options))

    def recommend_pages(
        self, user_id: str, **options: Unpack[UserOptions]
    ) -> Iterator[RecommendResponse]:
        """The pages of a user's list, `k` items each; no item comes twice."""
        cursor: str | None = ""
        while cursor is not None:
            page = self._do(calls.recommend(user_id, options, cursor))
            # The page after the last item may be empty.
            if page.items or not cursor:
                yield page
            cursor = page.next_cursor

    def recommend_session_pages(
        self, session_id: str, **options: Unpack[ListOptions]
    ) -> Iterator[RecommendResponse]:
        """The pages of a session's list."""
        cursor: str | None = ""
        while cursor is not None:
            page = self._do(calls.recommend_session(session_id, options, cursor))
            # The page after the last item may be empty.
            if page.items or not cursor:
                yield page
            cursor = page.next_cursor

    def popular(self, **options: Unpack[PopularOptions]) -> PopularResponse:
        """Popular items, or with decay trending ones."""
        return self._do(calls.popular(options))

    def similar(self, item_id: str, **options: Unpack[SimilarOptions]) -> SimilarResponse:
        """Items like an item."""
        return self._do(calls.similar(item_id, options))

    def post_interaction(self, event: Event, **options: Unpack[SendOptions]) -> IngestResponse:
        """One event; sending it again is harmless."""
        return self._do(calls.post_interaction(event, options))

    def post_interactions(
        self, events: Sequence[Event], **options: Unpack[SendOptions]
    ) -> IngestResponse:
        """Several events at once; invalid ones are listed in `rejected`, the others are taken."""
        return self._do(calls.post_interactions(events, options))

    def stream_interactions(
        self,
        events: Iterable[Event],
        *,
        batch_size: int = BATCH_SIZE,
        **options: Unpack[SendOptions],
    ) -> IngestResponse:
        """Any number of events, as they come, in bodies of NDJSON.

        Raises:
            StreamInterrupted: it stopped half-way; has the events whose fate is unknown.
        """
        tally, lined = Tally(), Lined(batch_size)
        for event in events:
            self._send_lines(lined.add(event), lined, tally, options)
        self._send_lines(lined.rest(), lined, tally, options)
        return tally.result()

    def log_in(self, session_id: str, user_id: str, **options: Unpack[InCatalog]) -> LoginResponse:
        """Gives everything that a session did to a user."""
        return self._do(calls.log_in(session_id, user_id, options))

    def _send_lines(
        self, lines: Lines | None, lined: Lined, tally: Tally, options: SendOptions
    ) -> None:
        if lines is None:
            return
        try:
            tally.add(lines, self._do(calls.send(lines.body, NDJSON, options)))
        except InvalidRequest as error:
            tally.refuse(lines, error)
        except MutualRecError as error:
            unsent = (*lines.events, *lined.waiting)
            raise StreamInterrupted(error, tally.result(), unsent) from error

    def _do(self, call: Call[T]) -> T:
        attempts = Attempts(call, self._retry, self._rng)
        while True:
            self._wait(self._pace.wait_s())
            try:
                response = self._http.send(call.request(self._http))
            except httpx.TransportError as error:
                self._wait(attempts.failed(error))
                continue
            self._pace.note(response.headers)
            delay_s = attempts.answered(response)
            if delay_s is None:
                return call.read(response)
            self._wait(delay_s)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)
