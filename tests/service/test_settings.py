from pathlib import Path

import pytest

from service.settings import Settings


def test_variables_override_defaults():
    settings = Settings.load({"MUTUALREC_PORT": "9000", "MUTUALREC_HOME": "/data", "PATH": "/bin"})
    assert (settings.port, settings.home, settings.k_default) == (9000, Path("/data"), 10)


def test_arguments_win_over_variables():
    assert Settings.load({"MUTUALREC_PORT": "9000"}, port=1).port == 1


def test_the_process_environment_is_read_unless_another_is_given(monkeypatch):
    monkeypatch.setenv("MUTUALREC_PORT", "9000")
    assert (Settings().port, Settings.load({}).port) == (9000, 8000)


def test_an_unknown_variable_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"MUTUALREC_PROT.*MUTUALREC_PORT"):
        Settings.load({"MUTUALREC_PROT": "9000"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "x"), ("PORT", "70000"), ("K_MAX", "0"), ("DEFAULT_CATALOG", "../x"), ("INDEX", "q")],
)
def test_a_value_that_is_not_allowed_is_an_error(name, value):
    with pytest.raises(ValueError, match=name.lower()):
        Settings.load({f"MUTUALREC_{name}": value})


def test_the_redis_url_is_not_shown():
    assert "secret" not in repr(Settings(redis_url="redis://:secret@host"))


def test_web_origins_are_separated_by_commas():
    settings = Settings.load({"MUTUALREC_CORS_ORIGINS": "https://a.example, http://b.example:8080"})
    assert settings.cors_origins == ("https://a.example", "http://b.example:8080")


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "ftp://x", "null"])
def test_what_is_no_web_origin_is_an_error(origin):
    with pytest.raises(ValueError, match="such as https:"):
        Settings.load({"MUTUALREC_CORS_ORIGINS": origin})
