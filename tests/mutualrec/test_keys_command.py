import pytest
from typer.testing import CliRunner

from mutualrec.main import app
from service.errors import UnknownKey
from service.keys import KeyRing, read_keys


@pytest.fixture
def keys(tmp_path):
    def run(*arguments: str):
        return CliRunner().invoke(app, ["keys", *arguments, "--home", str(tmp_path)])

    return run


def test_the_printed_key_is_valid_and_is_all_of_standard_output(keys, tmp_path):
    created = keys("create", "shop", "--scope", "read", "--scope", "write")
    assert created.exit_code == 0, created.output
    found = KeyRing(read_keys(tmp_path / "keys.json")).find(created.stdout.strip())
    assert found.scopes == {"read", "write"}


def test_a_rotation_is_rotate_then_retire(keys, tmp_path):
    old = keys("create", "shop", "--scope", "read").stdout.strip()
    new = keys("rotate", "shop").stdout.strip()
    assert keys("retire", "shop").stdout == "shop: 1 retired\n"
    ring = KeyRing(read_keys(tmp_path / "keys.json"))
    assert (ring.find(old), ring.find(new).name) == (None, "shop")


def test_the_list_shows_names_and_scopes_and_no_secret(keys):
    secret = keys("create", "shop", "--scope", "read", "--limit", "60").stdout.strip()
    shown = keys("list").stdout
    assert "shop" in shown
    assert "60" in shown
    assert secret.split("_", 2)[2] not in shown


def test_a_revoked_key_is_gone(keys):
    keys("create", "shop", "--scope", "read")
    assert keys("revoke", "shop").stdout == "shop: revoked\n"
    assert isinstance(keys("rotate", "shop").exception, UnknownKey)


@pytest.mark.parametrize("scope", ["all", ""])
def test_an_unknown_scope_is_refused_with_the_choices(keys, scope):
    refused = keys("create", "shop", "--scope", scope)
    assert refused.exit_code == 2
    assert "read" in refused.output
