"""What a version of the quarter recommends to the fund, beside what the fund then did."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mutualrec.fund_report.case import Bought, Case, DomainShare, Held, Recommended, percent

if TYPE_CHECKING:
    from mutualrec.fund_report.subject import Subject
    from service.snapshot import Snapshot

_SECTOR = "sector"


def read_case(snapshot: "Snapshot", subject: "Subject", k: int, domain_field: str | None) -> Case:
    """Ask a version of the quarter for a fund's investments, as the service does, and compare.

    Args:
        snapshot: A version that knows the quarter and nothing after it.
        subject: The fund, and what it reported next.
        k: How many companies are recommended.
        domain_field: A category of companies; the sector by default.

    Raises:
        InvalidParameter: The companies have no such category.
    """
    from service.funds.companies import book_of
    from service.funds.disclaimer import DISCLAIMER
    from service.funds.investments import Wish, investments
    from service.funds.profile import summary
    from service.funds.suitability import Suitability, apply

    fund_row = snapshot.user_rows[subject.fund_id]
    field, domains = _domains(snapshot, subject, domain_field)
    everything = Wish(snapshot.index.num_items)
    found = investments(
        snapshot, fund_row, (), apply(snapshot, Suitability()), everything, now_ms=0
    ).items
    held = _held(snapshot, fund_row, subject, domains)
    about = summary(snapshot, fund_row)
    recommended = tuple(_recommended(item, subject, domains) for item in found[:k])
    popular = sorted(found, key=lambda item: -item["num_funds"])[: len(recommended)]
    bought = _bought(subject, held, domains, {item["company_id"]: item["rank"] for item in found})
    return Case(
        fund_id=subject.fund_id,
        name=about["name"],
        cik=about["cik"],
        quarter=about["quarter"],
        filed=about["filed"],
        later=subject.later.quarters,
        value_usd=about["value_usd"],
        num_quarters=len(book_of(snapshot).reported(fund_row)),
        num_candidates=len(found),
        num_popular_hits=sum(item["company_id"] in subject.later.first_seen for item in popular),
        domain_field=field,
        recommended=recommended,
        held=held,
        bought=bought,
        domains=_shares(held, recommended, subject, domains),
        members=tuple(
            f"{member.model} (weight {member.weight:g})"
            for member in snapshot.artifact.manifest.members
        ),
        version=snapshot.version,
        disclaimer=DISCLAIMER,
    )


def _domains(
    snapshot: "Snapshot", subject: "Subject", wanted: str | None
) -> tuple[str, dict[str, str | None]]:
    """The category's name, and every company's value, those that came later included.

    Where companies have no category at all, everything is of an unknown sector.
    """
    from service.errors import InvalidParameter
    from service.funds.companies import codes_by_row, domain_columns, facts_of

    columns = domain_columns(snapshot)
    sector = facts_of(snapshot).columns.get("sector")
    column = wanted or sector or _SECTOR
    if not columns and wanted is None:
        return _SECTOR, {}
    if column not in {*columns, sector}:
        choices = ", ".join(columns) or "none; import them with a company table"
        raise InvalidParameter(
            f"the companies have no category {column!r}; name one with --domain: {choices}"
        )
    names = snapshot.columns.coded(column).names
    codes = codes_by_row(snapshot, column).tolist()
    known = {
        company: None if code < 0 else names[code]
        for company, code in zip(snapshot.artifact.item_ids, codes, strict=True)
    }
    new = {company: row.get(column) for company, row in subject.attributes.items()}
    return column, {**new, **known}


def _held(
    snapshot: "Snapshot", fund_row: int, subject: "Subject", domains: dict[str, str | None]
) -> tuple[Held, ...]:
    """What the fund held, the largest position first."""
    from service.funds.companies import book_of, companies_of

    facts, names = book_of(snapshot).facts, companies_of(snapshot).names
    positions = book_of(snapshot).holdings(fund_row).tolist()
    held = []
    for position in sorted(positions, key=lambda number: -facts.portfolio_shares[number]):
        row = int(facts.company_rows[position])
        company = snapshot.artifact.item_ids[row]
        held.append(
            Held(
                company_id=company,
                name=names[row] or company,
                domain=domains.get(company),
                share=float(facts.portfolio_shares[position]),
                kept=company in subject.later.shares,
            )
        )
    return tuple(held)


# Any: JSON of the service.
def _recommended(
    item: dict[str, Any], subject: "Subject", domains: dict[str, str | None]
) -> Recommended:
    company = item["company_id"]
    bought = subject.later.first_seen.get(company)
    return Recommended(
        company_id=company,
        name=item["name"] or company,
        domain=domains.get(company),
        rank=item["rank"],
        hit=bought is not None,
        bought=bought,
        share_after=subject.later.shares.get(company, 0.0),
        formerly_held=item["formerly_held"],
        num_funds=item["num_funds"],
        reasons=tuple(map(_sentence, item["reasons"])),
    )


def _sentence(reason: dict[str, Any]) -> str:
    match reason["kind"]:
        case "domain":
            return (
                f"{reason['field'].replace('_', ' ')} {reason['value']}: "
                f"{percent(reason['portfolio_share'])} of this portfolio, "
                f"{percent(reason['usual_share'])} of the average one"
            )
        case "funds":
            names = ", ".join(fund["name"] for fund in reason["funds"])
            of = "a similar fund," if reason["num_funds"] == 1 else "similar funds, such as"
            count = "" if reason["num_funds"] == 1 else f"{reason['num_funds']} "
            return f"held by {count}{of} {names}"
        case _:
            names = ", ".join(one["name"] or one["company_id"] for one in reason["companies"])
            return f"like {names}, which it holds"


def _bought(
    subject: "Subject",
    held: Sequence[Held],
    domains: dict[str, str | None],
    ranks: dict[str, int],
) -> tuple[Bought, ...]:
    before = {company.company_id for company in held}
    entered = [
        Bought(
            company_id=company,
            name=subject.names.get(company, company),
            domain=domains.get(company),
            quarter=quarter,
            share_after=subject.later.shares.get(company, 0.0),
            rank=ranks.get(company),
        )
        for company, quarter in subject.later.first_seen.items()
        if company not in before
    ]
    return tuple(sorted(entered, key=lambda one: (one.rank is None, one.rank or 0, one.company_id)))


def _shares(
    held: Sequence[Held],
    recommended: Sequence[Recommended],
    subject: "Subject",
    domains: dict[str, str | None],
) -> tuple[DomainShare, ...]:
    """All domains that occur, the largest before first; the unknown one comes last."""
    after = {company: domains.get(company) for company in subject.later.shares}
    listed = {one.domain for one in held} | {one.domain for one in recommended}
    listed |= set(after.values())
    shares = [
        DomainShare(
            domain=domain,
            before=sum(one.share for one in held if one.domain == domain),
            after=sum(share for one, share in subject.later.shares.items() if after[one] == domain),
            num_before=sum(one.domain == domain for one in held),
            num_after=sum(found == domain for found in after.values()),
            num_recommended=sum(one.domain == domain for one in recommended),
            num_hits=sum(one.hit for one in recommended if one.domain == domain),
        )
        for domain in listed
    ]
    return tuple(
        sorted(shares, key=lambda one: (one.domain is None, -one.before, -one.after, one.domain))
    )
