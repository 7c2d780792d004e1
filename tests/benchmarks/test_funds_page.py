from pathlib import Path

from benchmarks.funds.page import BEGIN, END, PAGE, render, write_tables
from benchmarks.tables import read_rows


def test_the_tables_of_the_page_about_funds_are_written_from_the_results() -> None:
    assert render(read_rows("funds")) in PAGE.read_text(encoding="utf-8")


def test_writing_tables_leaves_the_text_around_them(tmp_path: Path) -> None:
    page = tmp_path / "funds.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    write_tables(page)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| model | recall@10 |" in text


def test_an_interval_stands_beside_the_figures_at_20_only() -> None:
    row = {"model": "ensemble", "setting": "all", "value": 0.1, "low": 0.05, "high": 0.15}
    rows = [{**row, "metric": f"recall@{k}", "command": "c", "commit": "1"} for k in (10, 20)]

    text = render(rows)

    assert "| `ensemble` | 0.1000 | - | 0.1000 (0.0500 to 0.1500) | - | - | - |" in text
    assert "Made by `c` at 1." in text
