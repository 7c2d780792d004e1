"""Rules of suitability hold for any combination of them: generated wishes against the API."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fund_world import COUNTRIES, SECTORS, SIZES, draft_of_world, make_world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import set_current, write_artifact
from service.funds.suitability import Suitability, apply
from service.settings import Settings

WORLD = make_world()
FUNDS = WORLD.managers["fund_id"].to_list()
COMPANIES = WORLD.companies["item_id"].to_list()
ATTRIBUTES = {row["item_id"]: row for row in WORLD.companies.iter_rows(named=True)}
ROLES = {"sector": SECTORS, "country": COUNTRIES, "size": SIZES}


@pytest.fixture(scope="module")
def asked(tmp_path_factory, client_type) -> Iterator:
    """Asks for the investments of a fund with a body."""
    home: Path = tmp_path_factory.mktemp("funds")
    version = write_artifact(home / "artifacts", "funds", draft_of_world(WORLD))
    set_current(home / "artifacts", "funds", version)
    values = {"home": home, "index": "cpu", "audit_fsync": False}
    with client_type(Settings.load({}, **values)) as client:

        def ask(fund: str, wish: dict) -> httpx.Response:
            return client.post(f"/funds/{fund}/investments", json=wish)

        ask.client = client
        yield ask


def some(values) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=3)


WISHES = st.fixed_dictionaries(
    {"k": st.integers(1, 70)},
    optional={
        **{role: some(values) for role, values in ROLES.items()},
        **{f"exclude_{role}": some(values) for role, values in ROLES.items()},
        "exclude": st.lists(st.sampled_from([*COMPANIES, "not a company"]), max_size=40),
        "max_per_sector": st.integers(1, 4),
        "held": st.sampled_from(["exclude", "mark"]),
        "formerly_held": st.sampled_from(["exclude", "mark"]),
        "filter": st.sampled_from(['sector != "Energy"', 'country = "Israel" or size is missing']),
    },
)


def suits(company: str, wish: dict) -> bool:
    """The rules as a sentence each, without any code of the service."""
    own = ATTRIBUTES[company]
    for role in ROLES:
        if wish.get(role) and own[role] not in wish[role]:
            return False
        unsuitable = wish.get(f"exclude_{role}")
        if unsuitable and (own[role] is None or own[role] in unsuitable):
            return False
    if company in wish.get("exclude", ()):
        return False
    if "max_per_sector" in wish and own["sector"] is None:
        return False
    match wish.get("filter"):
        case None:
            return True
        case 'sector != "Energy"':
            return own["sector"] != "Energy"
        case _:
            return own["country"] == "Israel" or own["size"] is None


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fund=st.sampled_from(FUNDS), wish=WISHES)
def test_no_answer_breaks_a_rule_and_none_is_shorter_than_the_rules_demand(asked, fund, wish):
    response = asked(fund, wish)
    assert response.status_code == 200, response.text
    answer = [item["company_id"] for item in response.json()["investments"]]
    assert len(set(answer)) == len(answer)
    held = WORLD.held(fund)
    ever = {p["company_id"] for p in WORLD.positions.filter(fund_id=fund).iter_rows(named=True)}
    allowed = {company for company in COMPANIES if suits(company, wish)}
    if wish.get("held", "exclude") == "exclude":
        allowed -= held
    if wish.get("formerly_held") == "exclude":
        allowed -= ever - held
    assert [company for company in answer if company not in allowed] == []
    counts = Counter(ATTRIBUTES[company]["sector"] for company in answer)
    limit = wish.get("max_per_sector", len(COMPANIES))
    assert max(counts.values(), default=0) <= limit
    # Hard rules shorten an answer only where nothing else is allowed.
    possible = Counter(ATTRIBUTES[company]["sector"] for company in allowed)
    room = sum(min(count, limit) for count in possible.values())
    assert len(answer) == min(wish["k"], room)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fund=st.sampled_from(FUNDS), k=st.integers(1, 70))
def test_marks_say_what_the_fund_holds_and_held(asked, fund, k):
    items = asked(fund, {"k": k, "held": "mark"}).json()["investments"]
    held = WORLD.held(fund)
    ever = {p["company_id"] for p in WORLD.positions.filter(fund_id=fund).iter_rows(named=True)}
    assert [i["held"] for i in items] == [i["company_id"] in held for i in items]
    former = ever - held
    assert [i["formerly_held"] for i in items] == [i["company_id"] in former for i in items]


def test_the_same_rules_can_be_written_in_the_query(asked):
    wish = {"k": 9, "sector": ["Energy", "Industrials"], "exclude_country": ["Israel"]}
    wish |= {"exclude": ["c001", "c005"], "max_per_sector": 3}
    by_query = asked.client.get("/funds/f01/investments", params=wish).json()["investments"]
    assert by_query == asked("f01", wish).json()["investments"]
    assert by_query


def test_every_applied_rule_is_told_with_what_it_removed(asked):
    answer = asked("f02", {"sector": ["Energy"], "exclude": ["c001", "unheard of"]}).json()
    rules = {rule["rule"]: rule["removed"] for rule in answer["rules"]}
    held = WORLD.held("f02")
    others = [company for company in COMPANIES if company not in held]
    assert rules["held"] == len(held)
    assert rules["sector"] == sum(ATTRIBUTES[c]["sector"] != "Energy" for c in others)
    assert rules["exclude"] == ("c001" not in held)
    assert answer["unknown_excluded"] == ["unheard of"]


def test_a_value_that_no_company_has_is_refused_with_those_that_are_meant(asked):
    response = asked("f02", {"sector": ["Technolgy"]})
    assert response.status_code == 422
    assert response.json()["detail"] == (
        "sector: no company has sector 'Technolgy'; did you mean 'Technology'?"
    )


def test_the_last_look_before_the_reply_keeps_only_what_satisfies_every_rule(asked):
    snapshot = asked.client.state.catalogs.snapshot("funds")[1]
    wish = Suitability(sector=("Energy", "Technology"), exclude=("c005",), max_per_sector=2)
    kept = apply(snapshot, wish).suitable(range(20))
    # c005 is excluded, c004 and c013 lack a sector; Energy is every fourth company from c001.
    assert kept == [0, 1, 8, 9]
