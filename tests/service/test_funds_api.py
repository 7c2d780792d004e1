import hashlib
import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import redis
from fund_world import QUARTERS, SECTORS, draft_of_world, make_world

from service.funds.audit_check import verify
from service.funds.audit_log import files_of

WORLD = make_world()


@pytest.fixture
def funds(start, deploy):
    """A running service with a catalog of fund companies."""
    deploy(draft_of_world(WORLD), "funds")
    return start(audit_fsync=False)


def audit_lines(home: Path) -> list[dict]:
    texts = [path.read_text() for path in files_of(home / "audit" / "funds")]
    return [json.loads(line) for line in "".join(texts).splitlines()]


def newest(fund: str) -> pl.DataFrame:
    own = WORLD.positions.filter(pl.col("fund_id") == fund, pl.col("quarter") == QUARTERS[-1])
    return own.filter(pl.col("change") != "closed").sort("value_usd", descending=True)


@pytest.mark.parametrize(
    "path",
    [
        "/funds",
        "/funds/f01",
        "/funds/f01/investments",
        "/funds/f01/similar",
        "/funds/trends",
        "/companies?q=c",
        "/companies/c001",
        "/companies/c001/investors",
    ],
)
def test_every_answer_carries_its_data_date_the_statement_and_an_audit_line(funds, tmp_path, path):
    response = funds.get(path)
    content = response.json()
    assert (content["data_date"], content["filed_until"]) == ("2025-03-31", "2025-05-10")
    assert "no investment advice" in content["disclaimer"]
    (line,) = audit_lines(tmp_path)
    assert line["recommendation_id"] == content["recommendation_id"]
    assert (
        line["model_version"]
        == content["model_version"]
        == funds.state.catalogs.snapshot("funds")[1].version
    )
    assert line["answer_hash"] == hashlib.sha256(response.content).hexdigest()
    assert line["endpoint"].startswith("GET /")
    assert verify(tmp_path / "audit" / "funds").findings == []


def test_equal_requests_have_equal_input_hashes_and_others_have_not(funds, tmp_path):
    for path in ("/funds/f01?k=5", "/v1/funds/f01?k=5", "/funds/f01?k=6", "/funds/f02?k=5"):
        assert funds.get(path).status_code == 200
    hashes = [line["inputs_hash"] for line in audit_lines(tmp_path)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_the_audit_line_has_the_rules_that_were_applied(funds, tmp_path):
    answer = funds.get("/funds/f01/investments?sector=Energy").json()
    assert audit_lines(tmp_path)[0]["rules"] == answer["rules"]


def test_nothing_is_answered_when_the_audit_line_cannot_be_written(funds, tmp_path):
    (tmp_path / "audit").write_text("a file where the folder should be")
    response = funds.get("/funds/f01/investments")
    assert response.status_code == 503
    assert response.json()["title"] == "Audit log unavailable"
    assert "investments" not in response.json()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("davis", "f02"),
        ("f07", "f07"),
        ("0000001004", "f04"),
        ("etoile cap", "f04"),
        ("son", "f01"),
    ],
)
def test_funds_are_found_by_name_beginnings_id_and_cik(funds, text, first):
    found = funds.get("/funds", params={"q": text}).json()["funds"]
    assert found[0]["fund_id"] == first


def test_without_a_name_all_funds_come_the_largest_first_in_pages(funds):
    values = {fund: newest(fund)["value_usd"].sum() for fund in WORLD.managers["fund_id"].to_list()}
    expected = sorted(values, key=lambda fund: -values[fund])
    pages = [funds.get(f"/funds?k=5&offset={offset}").json() for offset in (0, 5, 10)]
    assert [fund["fund_id"] for page in pages for fund in page["funds"]] == expected
    assert pages[0]["total"] == 12


def test_a_fund_shows_holdings_sectors_and_history(funds):
    answer = funds.get("/funds/f01?k=3").json()
    held = newest("f01")
    assert [h["company_id"] for h in answer["holdings"]] == held["company_id"].to_list()[:3]
    assert answer["value_usd"] == pytest.approx(held["value_usd"].sum())
    assert answer["num_holdings"] == len(held)
    assert sum(s["portfolio_share"] for s in answer["sectors"]) == pytest.approx(1)
    assert sum(s["num_companies"] for s in answer["sectors"]) == len(held)
    assert [q["quarter"] for q in answer["history"]] == [
        "2024Q1",
        "2024Q2",
        "2024Q3",
        "2024Q4",
        "2025Q1",
    ]
    last = answer["history"][-1]
    changes = newest("f01")["change"].value_counts()
    assert last["new"] == dict(changes.iter_rows()).get("new", 0)
    assert last["filed"] == "2025-05-10"


def test_a_fund_is_shown_as_of_an_earlier_quarter(funds):
    answer = funds.get("/funds/f01?quarter=2024Q1&k=100").json()
    held = WORLD.held("f01", date(2024, 3, 31))
    assert {h["company_id"] for h in answer["holdings"]} == held
    assert {h["change"] for h in answer["holdings"]} == {"new"}
    unknown = funds.get("/funds/f01?quarter=1999Q1")
    assert unknown.status_code == 422
    assert "there are 2024Q1 to 2025Q1" in unknown.json()["detail"]


def test_an_unknown_fund_or_company_is_a_problem_that_names_what_was_meant(funds):
    fund = funds.get("/funds/davis/investments")
    assert (fund.status_code, fund.json()["title"]) == (404, "Unknown fund")
    assert "did you mean 'f02' (DAVIS CAPITAL 2)" in fund.json()["detail"]
    company = funds.get("/companies/Energy%205")
    assert (company.status_code, company.json()["title"]) == (404, "Unknown company")
    assert "'c005' (Company Energy 5)" in company.json()["detail"]


def test_a_catalog_of_anything_else_says_that_it_has_no_fund_data(deploy, start):
    deploy()
    response = start().get("/funds?catalog=default")
    assert (response.status_code, response.json()["title"]) == (404, "No fund data")


def test_ids_hold_any_character(start, deploy):
    world = make_world()
    ids = ["a/similar", "trends", "ü%2F?", *world.managers["fund_id"].to_list()[3:]]
    deploy(draft_of_world(world, user_ids=ids), "funds")
    client = start(audit_fsync=False)
    for path, fund in (
        ("a%2Fsimilar", ids[0]),
        ("%74rends/investments", ids[1]),
        ("%C3%BC%252F%3F/similar", ids[2]),
    ):
        assert client.get(f"/funds/{path}").json()["fund_id"] == fund
    assert client.get("/funds/%FF").status_code == 400
    assert client.get(f"/funds/{'x' * 257}").status_code == 422


def test_reasons_name_domains_funds_and_companies_of_the_portfolio(funds):
    items = funds.get("/funds/f01/investments?k=20").json()["investments"]
    held = WORLD.held("f01")
    reasons = [(item, reason) for item in items for reason in item["reasons"]]
    assert {reason["kind"] for _, reason in reasons} == {"domain", "funds", "companies"}
    for item, reason in reasons:
        match reason["kind"]:
            case "companies":
                assert {c["company_id"] for c in reason["companies"]} <= held
            case "funds":
                named = [fund["fund_id"] for fund in reason["funds"]]
                assert all(item["company_id"] in WORLD.held(fund) for fund in named)
                assert "f01" not in named
            case _:
                attributes = WORLD.company(item["company_id"])
                assert attributes[reason["field"]] == reason["value"]
                assert reason["portfolio_share"] > reason["usual_share"]


def test_a_domain_reason_adds_up_the_funds_positions(funds):
    items = funds.get("/funds/f01/investments?k=40").json()["investments"]
    shares = newest("f01").join(WORLD.companies, left_on="company_id", right_on="item_id")
    told = {
        (r["field"], r["value"]): (r["portfolio_share"], r["num_companies"])
        for item in items
        for r in item["reasons"]
        if r["kind"] == "domain"
    }
    assert told
    for (field, value), (share, count) in told.items():
        inside = shares.filter(pl.col(field) == value)
        assert (share, count) == (pytest.approx(inside["share"].sum()), len(inside))


def test_similar_funds_have_the_same_companies(funds):
    answer = funds.get("/funds/f01/similar?k=11").json()["funds"]
    own = dict(newest("f01").select("company_id", "share").iter_rows())
    for other in answer:
        theirs = dict(newest(other["fund_id"]).select("company_id", "share").iter_rows())
        common = own.keys() & theirs.keys()
        product = sum(own[c] * theirs[c] for c in common)
        lengths = np.linalg.norm([*own.values()]) * np.linalg.norm([*theirs.values()])
        assert other["similarity"] == pytest.approx(product / lengths)
        assert other["num_common"] == len(common)
        assert other["overlap"] == pytest.approx(sum(min(own[c], theirs[c]) for c in common))
    assert sorted(f["similarity"] for f in answer) == [f["similarity"] for f in reversed(answer)]
    learned = funds.get("/funds/f01/similar?k=11&by=learned").json()["funds"]
    assert len(learned) == 11
    assert -1.0001 <= learned[-1]["similarity"] <= learned[0]["similarity"] <= 1.0001


def test_a_company_shows_who_holds_it_and_who_may_enter(funds):
    company = "c001"
    holders = [f for f in WORLD.managers["fund_id"].to_list() if company in WORLD.held(f)]
    answer = funds.get(f"/companies/{company}/investors?k=50").json()
    assert sorted(h["fund_id"] for h in answer["holders"]) == holders
    values = [h["value_usd"] for h in answer["holders"]]
    assert values == sorted(values, reverse=True)
    assert {f["fund_id"] for f in answer["expected"]} == set(WORLD.managers["fund_id"]) - set(
        holders
    )
    scores = [f["score"] for f in answer["expected"]]
    assert scores == sorted(scores, reverse=True)
    history = funds.get(f"/companies/{company}").json()["history"]
    assert history[-1]["num_holders"] == len(holders)


def test_trends_count_the_lists_of_all_funds(funds):
    answer = funds.get("/funds/trends?k=60&per_fund=5").json()
    lists = {
        fund: [
            item["company_id"]
            for item in funds.get(f"/funds/{fund}/investments?k=5").json()["investments"]
        ]
        for fund in WORLD.managers["fund_id"].to_list()
    }
    for company in answer["companies"]:
        named = [fund for fund, listed in lists.items() if company["company_id"] in listed]
        assert company["num_funds"] == len(named)
        assert {fund["fund_id"] for fund in company["funds"]} <= set(named)
    assert sum(company["num_funds"] for company in answer["companies"]) == 5 * 12
    assert {sector["sector"] for sector in answer["sectors"]} == set(SECTORS)


def test_momentum_is_net_entries_in_the_newest_complete_quarter(funds):
    answer = funds.get("/funds/trends?k=60").json()
    assert answer["quarter"] == "2025Q1"
    last = WORLD.positions.filter(pl.col("quarter") == QUARTERS[-1])
    for company in answer["companies"]:
        changes = last.filter(pl.col("company_id") == company["company_id"])["change"].to_list()
        entered, left = changes.count("new"), changes.count("closed")
        assert (company["entered"], company["left"]) == (entered, left)
        assert company["num_holders"] == len(changes) - left
        assert company["momentum"] == pytest.approx((entered - left) / max(1, len(changes)))


def test_trends_are_counted_under_a_filter(funds):
    answer = funds.get("/funds/trends", params={"filter": 'sector = "Energy"'}).json()
    assert {company["sector"] for company in answer["companies"]} == {"Energy"}


def test_what_a_fund_did_since_counts_at_once(start, deploy, redis_url):
    deploy(draft_of_world(WORLD), "funds")
    client = start(audit_fsync=False, redis_url=redis_url)
    before = client.get("/funds/f01/investments?k=5").json()
    first = before["investments"][0]["company_id"]
    event = {"user_id": "f01", "item_id": first, "type": "new"}
    assert client.post("/interactions?catalog=funds", json=event).status_code == 202
    after = client.get("/funds/f01/investments?k=60").json()
    assert first not in [item["company_id"] for item in after["investments"]]
    assert (before["degraded"], after["degraded"]) == (False, False)
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()


def test_a_fund_without_positions_gets_what_is_popular(start, deploy):
    world = make_world()
    kept = world.positions.filter(pl.col("fund_id") != "f03")
    empty = type(world)(world.companies, world.managers, kept)
    deploy(draft_of_world(empty), "funds")
    client = start(audit_fsync=False)
    items = client.get("/funds/f03/investments?k=4").json()["investments"]
    assert [item["source"] for item in items] == ["popular"] * 4
    profile = client.get("/funds/f03").json()
    assert (profile["quarter"], profile["num_holdings"], profile["history"]) == (None, 0, [])


def test_a_hidden_company_is_in_no_list(start, deploy, redis_url):
    deploy(draft_of_world(WORLD), "funds")
    client = start(audit_fsync=False, redis_url=redis_url)
    trend = client.get("/funds/trends?k=1").json()["companies"][0]["company_id"]
    assert client.run(client.http.delete(f"/items/{trend}?catalog=funds")).status_code < 300
    companies = client.get("/funds/trends?k=60").json()["companies"]
    assert trend not in [company["company_id"] for company in companies]
