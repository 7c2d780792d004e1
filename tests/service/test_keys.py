import json
import stat

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.errors import KeysInvalid, UnknownKey
from service.keys import (
    KeyRing,
    StoredKeys,
    create_key,
    read_keys,
    retire_secret,
    revoke_key,
    rotate_key,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def ring(path) -> KeyRing:
    return KeyRing(read_keys(path))


def test_a_created_key_is_recognised_with_its_scopes_and_limit(path):
    token = create_key(path, "shop", ["write", "read"], 600)
    found = ring(path).find(token)
    assert (found.name, found.scopes, found.limit) == ("shop", {"read", "write"}, 600)


def test_the_file_holds_no_secret_and_only_its_owner_reads_it(path):
    token = create_key(path, "shop", ["read"])
    assert token.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_after_a_rotation_the_old_and_the_new_secret_are_valid(path):
    first = create_key(path, "shop", ["read"])
    second = rotate_key(path, "shop")
    assert [ring(path).find(token).name for token in (first, second)] == ["shop", "shop"]


def test_a_second_rotation_ends_the_first_secret(path):
    first = create_key(path, "shop", ["read"])
    second, third = rotate_key(path, "shop"), rotate_key(path, "shop")
    assert ring(path).find(first) is None
    assert ring(path).find(second) == ring(path).find(third)


def test_retiring_leaves_only_the_newest_secret(path):
    first = create_key(path, "shop", ["read"])
    second = rotate_key(path, "shop")
    assert retire_secret(path, "shop") == 1
    assert ring(path).find(first) is None
    assert ring(path).find(second) is not None


def test_a_revoked_key_is_not_recognised_and_others_stay(path):
    shop, app = create_key(path, "shop", ["read"]), create_key(path, "app", ["read"])
    revoke_key(path, "shop")
    assert ring(path).find(shop) is None
    assert ring(path).find(app).name == "app"


def test_a_taken_name_is_refused_with_the_way_to_rotate(path):
    create_key(path, "shop", ["read"])
    with pytest.raises(KeysInvalid, match="mutualrec keys rotate shop"):
        create_key(path, "shop", ["read"])


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 65])
def test_a_name_that_logs_could_not_show_is_refused(path, name):
    with pytest.raises(KeysInvalid, match="name"):
        create_key(path, name, ["read"])


def test_an_unknown_name_lists_the_known_ones(path):
    create_key(path, "shop", ["read"])
    with pytest.raises(UnknownKey, match=r"'shpo'.*known keys are: shop"):
        rotate_key(path, "shpo")


@pytest.mark.parametrize("content", ["", "[]", '{"format_version": 2}', '{"keys": [{}]}'])
def test_a_damaged_file_is_an_error_that_names_it(path, content):
    path.write_text(content)
    with pytest.raises(KeysInvalid, match=r"keys\.json"):
        read_keys(path)


def test_a_damaged_file_is_not_overwritten(path):
    path.write_text("{")
    with pytest.raises(KeysInvalid):
        create_key(path, "shop", ["read"])
    assert path.read_text() == "{"


def test_two_entries_of_one_name_are_an_error(path):
    create_key(path, "shop", ["read"])
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"keys": content["keys"] * 2}))
    with pytest.raises(KeysInvalid, match="distinct"):
        read_keys(path)


@given(st.text())
def test_nothing_but_the_key_itself_is_recognised(text):
    assert KeyRing(StoredKeys()).find(text) is None


def test_a_changed_key_is_not_recognised(path):
    token = create_key(path, "shop", ["read"])
    keys = ring(path)

    @given(st.integers(0, len(token) - 1), st.characters())
    def changed(at: int, other: str) -> None:
        assume(other != token[at])
        assert keys.find(token[:at] + other + token[at + 1 :]) is None

    changed()
