import json

import pytest
from typer.testing import CliRunner

from mutualrec.main import app


@pytest.fixture
def doctor(tmp_path, redis_url, monkeypatch):
    monkeypatch.setenv("MUTUALREC_REDIS_URL", redis_url)
    return lambda *more: CliRunner().invoke(app, ["doctor", "--home", str(tmp_path), *more])


def test_errors_are_shown_with_their_fix_and_the_exit_code_says_so(doctor):
    examined = doctor()
    assert examined.exit_code == 1
    assert "mutualrec publish" in " ".join(examined.stdout.split())


def test_machines_read_one_json_object_per_check(doctor):
    lines = [json.loads(line) for line in doctor("--json").stdout.splitlines()]
    assert {"check", "level", "says", "fix"} == set(lines[0])
    assert {line["level"] for line in lines if line["check"] == "catalog default"} == {"error"}


def test_the_estimate_of_memory_grows_with_the_events(tmp_path):
    size = ["--users", "1000", "--items", "1000", "--home", str(tmp_path)]
    shown = [
        CliRunner().invoke(app, ["capacity", *size, "--events-per-day", str(events)]).stdout
        for events in (0, 10_000_000)
    ]
    assert "2,481" in shown[1]  # 10 million times 260 bytes, and a thousand histories
    assert "2,481" not in shown[0]
