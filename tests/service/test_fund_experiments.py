"""Recommendations to funds are attributed to experiments, and by id, as those of any user are."""

import json
from dataclasses import replace

import pytest
from fund_world import draft_of_world, make_world

from service.experiments.ids import origin_of
from service.funds.audit_check import verify
from service.funds.audit_log import files_of

WORLD = make_world()
PATH = "/admin/experiments/try?catalog=funds"
FUNDS = WORLD.managers["fund_id"].to_list()


@pytest.fixture
def client(start, deploy, redis_url):
    deploy(draft_of_world(WORLD), "funds")
    return start(redis_url=redis_url, audit_fsync=False)


def define(client, *arms: dict) -> int:
    response = client.run(client.http.put(PATH, json={"arms": list(arms)}))
    assert response.status_code == 200, response.text
    return response.json()["number"]


def everybody(**treatment) -> list[dict]:
    """All funds get the treatment."""
    return [{"name": "as-it-is", "share": 1e-9}, {"name": "treated", "share": 1 - 1e-9} | treatment]


def ask(client, fund: str = "f01", **params) -> dict:
    response = client.get(f"/funds/{fund}/investments", params={"k": 6} | params)
    assert response.status_code == 200, response.text
    return response.json()


def companies(answer: dict) -> list[str]:
    return [company["company_id"] for company in answer["investments"]]


@pytest.mark.parametrize(
    "path", ["/funds", "/funds/f01", "/funds/trends", "/companies/c001", "/companies?q=c"]
)
def test_every_answer_has_an_id_that_says_when_it_was_given_and_no_arm(client, path):
    define(client, *everybody())
    content = client.get(path).json()
    assert origin_of(content["recommendation_id"]).number == 0
    assert "arm" not in content


def test_funds_are_put_into_arms_which_answer_id_and_audit_line_name(client, tmp_path):
    number = define(client, {"name": "a", "share": 0.5}, {"name": "b", "share": 0.5})
    answers = [ask(client, fund) for fund in FUNDS]
    origins = [origin_of(answer["recommendation_id"]) for answer in answers]
    assert {origin.number for origin in origins} == {number}
    assert ["ab"[origin.arm] for origin in origins] == [answer["arm"] for answer in answers]
    assert {answer["arm"] for answer in answers} == {"a", "b"}
    texts = [path.read_text() for path in files_of(tmp_path / "audit" / "funds")]
    lines = [json.loads(line) for line in "".join(texts).splitlines()]
    told = [(line["experiment"], line["arm"], line["recommendation_id"]) for line in lines]
    assert told == [("try", answer["arm"], answer["recommendation_id"]) for answer in answers]
    assert verify(tmp_path / "audit" / "funds").findings == []


def test_an_answer_and_the_events_that_name_it_are_counted_for_its_arm(client):
    define(client, *everybody())
    answer = ask(client)
    event = {"user_id": "f01", "recommendation_id": answer["recommendation_id"]}
    first = companies(answer)[0]
    events = [
        event | {"type": "impression", "item_id": company, "position": rank}
        for rank, company in enumerate(companies(answer), start=1)
    ]
    events += [event | {"type": kind, "item_id": first} for kind in ("click", "new")]
    response = client.post("/interactions?catalog=funds", json=events)
    assert response.status_code == 202, response.text
    # Counts of answers are added every now and then; asking for them sends this worker's.
    arm = client.get(PATH).json()["arms"][1]["metrics"]
    assert (arm["recommendations"], arm["users"]) == (1, 1)
    assert arm["coverage"]["items"] == 6
    assert {entry["type"]: entry["count"] for entry in arm["conversions"]} == {"click": 1, "new": 1}
    assert {entry["k"]: (entry["count"], entry["of"]) for entry in arm["click_through"]}[1] == (
        1,
        1,
    )


def test_rules_of_an_arm_hold_beside_those_of_suitability(client):
    both = {"filter": 'country = "Israel"'}
    plain = ask(client, k=60, sector="Energy")
    define(client, *everybody(rules=both))
    treated = ask(client, k=60, sector="Energy")
    israeli = {c for c in companies(plain) if WORLD.company(c)["country"] == "Israel"}
    assert israeli
    assert companies(treated) == [c for c in companies(plain) if c in israeli]


def test_an_arm_cannot_bring_back_what_is_unsuitable(client):
    define(client, *everybody(rules={"boosts": [{"filter": 'sector = "Energy"', "weight": 9}]}))
    answer = ask(client, k=60, exclude_sector="Energy", max_per_sector=2)
    sectors = [company["sector"] for company in answer["investments"]]
    assert "Energy" not in sectors
    assert len(sectors) == 6  # Two of each of the three others.


def test_an_arm_may_serve_another_version(client, deploy):
    first = client.state.catalogs.snapshot("funds")[1].version
    other = deploy(draft_of_world(WORLD, seed=7), "funds")
    client.state.catalogs.refresh()
    assert ask(client)["model_version"] == other
    define(client, *everybody(version=first))
    assert ask(client)["model_version"] == first


def test_a_fund_that_the_version_of_its_arm_does_not_know_is_outside_of_the_experiment(
    client, deploy
):
    first = client.state.catalogs.snapshot("funds")[1].version
    renamed = draft_of_world(WORLD)
    ids = [f"new-{fund}" if fund == "f01" else fund for fund in FUNDS]
    current = deploy(replace(renamed, user_ids=ids), "funds")
    client.state.catalogs.refresh()
    define(client, *everybody(version=first))
    answer = ask(client, "new-f01")
    assert (answer["model_version"], "arm" in answer) == (current, False)
    assert ask(client, "f02")["arm"] == "treated"
