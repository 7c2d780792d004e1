"""Which routes there are, and how their queries are read."""

import pytest


@pytest.mark.parametrize("path", ["/recommend/u1", "/v1/recommend/u1", "/v1/health/live"])
def test_every_path_also_answers_under_v1(start, deploy, path) -> None:
    deploy()
    assert start().get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v1v1/health/live", "/v1/v1/health/live", "/v2/health/live"])
def test_nothing_answers_under_another_prefix(start, path) -> None:
    assert start().get(path).status_code == 404


def test_a_user_may_be_called_like_the_prefix(start, deploy) -> None:
    deploy()
    assert start().get("/v1/recommend/v1%2Frecommend%2Fu1").json()["user_id"] == "v1/recommend/u1"


def test_two_applications_have_routes_of_their_own(start, deploy) -> None:
    deploy()
    first, second = start(), start()
    assert first.get("/v1/recommend/u1").status_code == 200
    assert second.get("/v1/recommend/u1").status_code == 200


def test_a_wrong_query_names_every_wrong_parameter(start, deploy) -> None:
    deploy()
    answer = start().get("/recommend/u1?k=0&diversity=2&explain=perhaps")
    assert answer.status_code == 422
    places = {fault["location"] for fault in answer.json()["errors"]}
    assert places == {"query.k", "query.diversity", "query.explain"}


def test_of_a_repeated_parameter_the_last_counts_and_unknown_ones_are_ignored(
    start, deploy
) -> None:
    deploy()
    items = start().get("/recommend/u1?k=5&k=2&utm_source=mail").json()["items"]
    assert len(items) == 2


def test_a_session_needs_an_id(start, deploy) -> None:
    deploy()
    answer = start().get("/recommend")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == "query.session_id"
