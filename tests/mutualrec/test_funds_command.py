from pathlib import Path

import pytest

from service.funds.audit_log import AuditLog


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "var" / "audit" / "funds"
    for number in range(3):
        AuditLog(folder, rotate_bytes=10_000, fsync=False).append([{"recommendation_id": number}])
    return folder


@pytest.mark.usefixtures("log")
def test_a_sound_log_ends_with_its_head_which_a_later_check_accepts(invoke):
    result = invoke("funds", "audit", "verify")
    assert result.code == 0
    assert "3 lines in 1 files, 0 findings; head 3:" in result.out
    head = result.out.split("head ")[1].strip()
    assert invoke("funds", "audit", "verify", "--head", head).code == 0
    assert invoke("funds", "audit", "verify", "--head", "2" + head[1:]).code == 1


def test_a_changed_line_is_named_and_the_exit_code_is_1(invoke, log):
    path = next(log.glob("*.jsonl"))
    path.write_text(path.read_text().replace('"recommendation_id":1', '"recommendation_id":8'))
    result = invoke("funds", "audit", "verify")
    assert result.code == 1
    assert f"{path}:2: line 2 was changed" in result.out


def test_a_missing_log_is_an_error_that_names_the_options(invoke):
    result = invoke("funds", "audit", "verify")
    assert result.code == 2
    assert "--catalog" in result.err
