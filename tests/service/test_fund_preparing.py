"""What answers about funds share is there before the first one asks."""

import logging

import numpy as np
from fund_world import draft_of_world, make_world
from hypothesis import given
from hypothesis import strategies as st

from service.funds.expected import best_columns, expected_of

WORLD = make_world()


def test_expectations_are_computed_once_per_version_and_before_it_is_served(start, deploy, caplog):
    version = deploy(draft_of_world(WORLD), "funds")
    with caplog.at_level(logging.INFO):
        client = start(audit_fsync=False)
        snapshot = client.state.catalogs.snapshot("funds")[1]
        made = [r.getMessage() for r in caplog.records if "prepared funds" in r.getMessage()]
        assert [message.split("version=")[1].split()[0] for message in made] == [version]
        expected = expected_of(snapshot)
        assert client.get("/funds/trends").status_code == 200
    assert expected_of(snapshot) is expected


def test_catalogs_of_anything_else_have_nothing_to_prepare(start, deploy, caplog):
    deploy()
    with caplog.at_level(logging.INFO):
        start()
    assert "prepared funds" not in caplog.text


@given(
    st.lists(
        st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=6, max_size=6),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 6),
)
def test_the_best_columns_are_those_of_a_whole_sort_with_ties_in_order(rows, count):
    scores = np.array(rows)
    whole = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    assert best_columns(scores, count).tolist() == whole.tolist()
