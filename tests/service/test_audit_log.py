import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.funds.audit_check import verify
from service.funds.audit_log import HEAD, AuditLog, files_of, read_head


def open_log(folder: Path, rotate_bytes: int = 1 << 20) -> AuditLog:
    return AuditLog(folder, rotate_bytes=rotate_bytes, fsync=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten lines in several files."""
    writer = open_log(tmp_path / "log", rotate_bytes=900)
    for number in range(10):
        writer.append([{"recommendation_id": f"r{number}", "rules": [{"rule": "sector"}]}])
    return tmp_path / "log"


def lines_of(folder: Path) -> list[str]:
    return [line for path in files_of(folder) for line in path.read_text().splitlines()]


def rewrite(folder: Path, lines: list[str]) -> None:
    """Puts other lines into the log, all in its first file."""
    first, *others = files_of(folder)
    for path in others:
        path.unlink()
    first.chmod(0o640)
    first.write_text("".join(line + "\n" for line in lines))


def found_in(folder: Path) -> list[str]:
    return [finding.what for finding in verify(folder).findings]


def test_an_untouched_log_has_no_findings_and_says_where_it_ends(log: Path) -> None:
    verdict = verify(log)
    assert (verdict.num_lines, verdict.findings) == (10, [])
    assert verdict.num_files == len(files_of(log)) > 1
    assert verdict.hash == json.loads(lines_of(log)[-1])["hash"]


def test_full_files_are_named_by_their_first_line_and_closed(log: Path) -> None:
    firsts = [json.loads(path.read_text().splitlines()[0])["seq"] for path in files_of(log)]
    assert [int(path.stem) for path in files_of(log)] == firsts
    assert [oct(path.stat().st_mode & 0o777) for path in files_of(log)[:-1]] == ["0o440"] * (
        len(firsts) - 1
    )


def test_a_changed_line_is_found_and_named(log: Path) -> None:
    path = files_of(log)[0]
    path.chmod(0o640)
    path.write_text(path.read_text().replace('"r1"', '"r7"'))
    finding = verify(log).findings[0]
    assert finding.place == f"{path}:2"
    assert finding.what == "line 2 was changed: its hash is not that of its content"
    assert len(verify(log).findings) == 1


def test_a_line_changed_with_its_hash_made_to_fit_is_found_by_the_next(log: Path) -> None:
    from service.funds.audit_line import chained

    lines = lines_of(log)
    content = json.loads(lines[4])
    own = {key: content[key] for key in content if key not in ("seq", "prev", "hash")}
    lines[4] = chained(own | {"recommendation_id": "other"}, content["seq"], content["prev"])[0]
    rewrite(log, lines)
    assert found_in(log) == [
        "line 6 does not follow the line before it: line 5 was replaced, or lines were exchanged"
    ]


def test_removed_lines_are_found_and_named(log: Path) -> None:
    lines = lines_of(log)
    rewrite(log, lines[:2] + lines[3:6] + lines[8:])
    assert found_in(log) == [
        "line 3 was removed before line 4",
        "lines 7 to 8 were removed before line 9",
    ]


def test_a_removed_last_line_is_found(log: Path) -> None:
    rewrite(log, lines_of(log)[:-1])
    assert found_in(log)[0].startswith("lines 10 to 10 are missing at the end")


def test_a_removed_file_is_found(log: Path) -> None:
    first, second, *_ = files_of(log)
    first.unlink()
    assert found_in(log) == [
        f"lines 1 to {int(second.stem) - 1} were removed before line {int(second.stem)}"
    ]


def test_an_inserted_line_is_found_at_any_place(log: Path) -> None:
    lines = lines_of(log)
    rewrite(log, [*lines[:5], lines[2], *lines[5:]])
    assert found_in(log) == ["line 3 comes twice: this one or the other was inserted"]


def test_a_line_appended_by_somebody_else_is_found(log: Path) -> None:
    from service.funds.audit_line import chained

    last = json.loads(lines_of(log)[-1])
    forged = chained({"recommendation_id": "forged"}, last["seq"] + 1, last["hash"])[0]
    rewrite(log, [*lines_of(log), forged])
    assert found_in(log) == [
        "HEAD ends the log with line 10, what comes there or after it were inserted at the end"
    ]


def test_a_log_that_was_made_anew_is_found_by_a_head_kept_elsewhere(log: Path) -> None:
    kept = verify(log)
    shutil.rmtree(log)
    open_log(log).append([{"recommendation_id": f"other{n}"} for n in range(10)])
    assert found_in(log) == []
    findings = verify(log, anchor=(kept.seq, kept.hash)).findings
    assert [finding.what for finding in findings] == [
        f"line 10 with hash {kept.hash} is not in the log"
    ]


def test_an_earlier_head_stays_valid_while_the_log_grows(log: Path) -> None:
    kept = verify(log)
    open_log(log).append([{"recommendation_id": "later"}])
    assert verify(log, anchor=(kept.seq, kept.hash)).findings == []


@pytest.mark.parametrize("written", [0, 1, 40, 10_000])
def test_an_append_that_died_is_finished_by_the_next(log: Path, written: int) -> None:
    # Dying happens after HEAD was written and before all of its lines were.
    head = read_head(log)
    path = log / head.file
    content = path.read_bytes()
    path.write_bytes(content[: head.size + written])
    open_log(log).append([{"recommendation_id": "next"}])
    assert found_in(log) == []
    assert [json.loads(line).get("recommendation_id") for line in lines_of(log)[-2:]] == [
        "r9",
        "next",
    ]


def test_a_lost_head_is_told_for_ever(log: Path) -> None:
    (log / HEAD).unlink()
    assert found_in(log) == ["HEAD is missing or damaged: lines at the end may be, too"]
    open_log(log).append([{"recommendation_id": "next"}])
    assert found_in(log) == ["HEAD was lost before line 11: lines before it may be missing"]


def test_writers_of_several_threads_make_one_chain(tmp_path: Path) -> None:
    def write(worker: int) -> None:
        own = open_log(tmp_path, rotate_bytes=2000)
        for number in range(8):
            own.append([{"worker": worker, "number": number}] * 2)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    verdict = verify(tmp_path)
    assert (verdict.num_lines, verdict.findings) == (64, [])
    order = [json.loads(line)["number"] for line in lines_of(tmp_path) if '"worker":2' in line]
    assert order == sorted(order)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_no_byte_of_the_log_can_be_changed_unnoticed(log: Path, position: int, byte: int) -> None:
    path = files_of(log)[position % len(files_of(log))]
    path.chmod(0o640)
    before = path.read_bytes()
    place = position % len(before)
    changed = bytearray(before)
    changed[place] = byte
    path.write_bytes(changed)
    findings = found_in(log)
    path.write_bytes(before)
    assert bool(findings) == (before[place] != byte)


def test_a_log_that_does_not_exist_has_no_lines(tmp_path: Path) -> None:
    assert verify(tmp_path / "nothing").num_lines == 0
