"""What the endpoints about fund companies have in common: frame, audit line, who is asked about."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
from fastapi import Request, Response
from pydantic import JsonValue

from service.answering import count_answer, run_search
from service.answers import Demand
from service.erasure.following import catch_up
from service.experiments.arms import Arm, recommendation_id
from service.funds.audit_line import canonical, sha256
from service.funds.companies import book_of, companies_of, facts_of
from service.funds.disclaimer import DISCLAIMER
from service.funds.errors import UnknownCompany, UnknownFund
from service.funds.kept import kept
from service.funds.names import NameSearch
from service.snapshot import Snapshot
from service.state import ServiceState

# Any: JSON.
Json: TypeAlias = dict[str, Any]

CATALOG = "funds"
"""The catalog of requests that name none."""

_SUGGESTED = 3


@dataclass(frozen=True)
class Question:
    """A request as the audit log knows it.

    Attributes:
        endpoint: method and path template.
        inputs: everything the answer depends on but the version and the arm: ids, parameters,
            fresh events.
        arm: the experiment's arm that answers; None outside of experiments.
        recommendation_id: by which events are attributed to the answer.
    """

    endpoint: str
    inputs: Mapping[str, JsonValue]
    arm: Arm | None
    recommendation_id: str


Work: TypeAlias = Callable[[], tuple[Json, Sequence[Json]]]
"""Gives the content of an answer and the rules that were applied."""


async def reply(
    state: ServiceState,
    name: str,
    snapshot: Snapshot,
    question: Question,
    work: Work,
) -> Response:
    """Computes an answer, writes its audit line, then gives it.

    The line has the SHA-256 of the body as it is sent, and that of the inputs as canonical JSON.

    Args:
        state: the application.
        name: the catalog.
        snapshot: the version that answers.
        question: what is asked.
        work: computes the content.

    Raises:
        AuditUnavailable: the line could not be written.
    """
    start = time.perf_counter()
    book = book_of(snapshot)
    content, rules = await run_search(state, snapshot, work)
    data_date, filed = book.data_date, book.filed_until
    frame: dict[str, JsonValue] = {
        "recommendation_id": question.recommendation_id,
        **({} if question.arm is None else question.arm.names),
        "model_version": snapshot.version,
        "catalog": name,
        "data_date": None if data_date is None else data_date.isoformat(),
        "filed_until": None if filed is None else filed.isoformat(),
    }
    body = orjson.dumps({**frame, "disclaimer": DISCLAIMER, **content}, default=str)
    await state.audit.append(
        name,
        {
            **frame,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "endpoint": question.endpoint,
            "inputs_hash": sha256(canonical({"catalog": name, **question.inputs})),
            "answer_hash": sha256(body.decode()),
            "rules": list(rules),
        },
    )
    took_ms = (time.perf_counter() - start) * 1000
    headers = {"Server-Timing": f"total;dur={took_ms:.3f}"}
    return Response(body, headers=headers, media_type="application/json")


@kept
def fund_search(snapshot: Snapshot) -> NameSearch:
    """Finds a version's funds by id, name or CIK."""
    facts = facts_of(snapshot)
    return NameSearch(snapshot.artifact.user_ids, facts.names, facts.ciks)


def fund_row(snapshot: Snapshot, catalog: str, fund_id: str) -> int:
    """The row of a fund.

    Raises:
        NoFundData: the catalog is none of fund companies.
        UnknownFund: naming what it may have meant.
    """
    facts_of(snapshot)
    row = snapshot.user_rows.get(fund_id)
    if row is not None:
        return row
    ids, names = snapshot.artifact.user_ids, facts_of(snapshot).names
    found = fund_search(snapshot).find(fund_id)[:_SUGGESTED]
    raise UnknownFund(
        f"catalog {catalog!r} has no fund {fund_id!r}; {_hint('funds', ids, names, found)}"
    )


def company_row(snapshot: Snapshot, catalog: str, company_id: str) -> int:
    """The row of a company.

    Raises:
        NoFundData: the catalog is none of fund companies.
        UnknownCompany: naming what it may have meant.
    """
    facts_of(snapshot)
    row = snapshot.item_rows.get(company_id)
    if row is not None:
        return row
    companies = companies_of(snapshot)
    found = companies.search.find(company_id)[:_SUGGESTED]
    hint = _hint("companies", snapshot.artifact.item_ids, companies.names, found)
    raise UnknownCompany(f"catalog {catalog!r} has no company {company_id!r}; {hint}")


def _hint(what: str, ids: Sequence[str], names: Sequence[str | None], found: Sequence[int]) -> str:
    search = f"GET /{what}?q=... finds ids by name"
    if not found:
        return search
    meant = " or ".join(f"{ids[row]!r} ({names[row]})" for row in found)
    return f"did you mean {meant}? {search}"


async def served(state: ServiceState, catalog: str) -> tuple[str, Snapshot]:
    """The catalog's name and the version that answers, without funds erased by now.

    Raises:
        UnknownCatalog: naming the known ones.
        NotReady: the catalog has no version that could be loaded.
    """
    await catch_up(state, state.catalogs.require_known(catalog))
    return state.catalogs.snapshot(catalog)


def question(request: Request, arm: Arm | None = None, **inputs: JsonValue) -> Question:
    """The question of a request whose answer depends on these inputs, answered by an arm."""
    path: str = request.scope["route"].path_format
    endpoint = f"{request.method} {path.removeprefix('/v1')}"
    return Question(endpoint, {"endpoint": endpoint, **inputs}, arm, recommendation_id(arm))


def treated(
    state: ServiceState, name: str, snapshot: Snapshot, fund_id: str
) -> tuple[Snapshot, Arm | None]:
    """The version that answers a fund, and the arm it is in: a fund is the unit of experiments.

    A fund that the arm's version does not know is answered as one outside of the experiment.
    """
    served, demand = state.experiments.treat(name, snapshot, fund_id, Demand(k=1))
    if served is not snapshot and (
        served.artifact.funds is None or fund_id not in served.user_rows
    ):
        return snapshot, None
    return served, demand.arm


def count_investments(
    state: ServiceState,
    name: str,
    question: Question,
    fund_id: str,
    investments: Sequence[Json],
    *,
    degraded: bool,
) -> None:
    """Counts a fund's recommendations for its arm, as those of any user are counted."""
    items = [
        {"item_id": one["company_id"], "rank": one["rank"], "source": one["source"]}
        for one in investments
    ]
    content = {
        "recommendation_id": question.recommendation_id,
        "catalog": name,
        "user_id": fund_id,
        "items": items,
        "degraded": degraded,
    }
    count_answer(state, content)
