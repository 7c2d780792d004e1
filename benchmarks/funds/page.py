"""The tables of docs/funds.md, written from the rows of the benchmark."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.tables import DASH, Row, number, read_rows, table, with_spread
from training.files import replace_text

PAGE = Path(__file__).parents[2] / "docs" / "funds.md"
BEGIN, END = "<!-- written by benchmarks.funds -->", "<!-- end of what is written -->"
SIZES = ("small_managers", "middle_managers", "large_managers")
Cells = Callable[[str, str, str, int], str]


def render(rows: Sequence[Row]) -> str:
    """Return the tables, with the command and the commit that measured them."""
    found = {(str(r["model"]), str(r["setting"]), str(r["metric"])): r for r in rows}

    def cell(model: str, setting: str, metric: str, digits: int = 4) -> str:
        return with_spread(found.get((model, setting, metric)), digits)

    commits = ", ".join(sorted({str(row["commit"]) for row in rows}))
    commands = ", ".join(f"`{c}`" for c in sorted({str(row["command"]) for row in rows}))
    parts = [
        "All managers:\n\n" + _models(rows, cell),
        "The ensemble over others, in percent:\n\n" + _lifts(rows, cell),
        "By the managers' number of positions, thirds of each quarter:\n\n" + _sizes(rows, cell),
        "By the company's sector, recall@20:\n\n" + _sectors(rows, cell),
        "Chances against what happened:\n\n" + _reliability(rows, cell),
        "GNNMR on random 8:1:1 parts of all pairs:\n\n" + _random(rows, cell),
    ]
    return "\n\n".join([*parts, f"Made by {commands} at {commits}."])


def write_tables(page: Path = PAGE) -> None:
    """Write the tables into their place on the page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    replace_text(page, f"{before}{BEGIN}\n\n{render(read_rows('funds'))}\n\n{END}{after}")


def _values(rows: Sequence[Row], key: str, condition: Callable[[Row], bool]) -> list[str]:
    """Return the different values of a key in rows, in their order."""
    return list(dict.fromkeys(str(row[key]) for row in rows if condition(row)))


def _models(rows: Sequence[Row], cell: Cells) -> str:
    names = _values(rows, "model", lambda r: r["setting"] == "all" and r["metric"] == "recall@20")
    header = [f"{name}@{cut}" for cut in (10, 20, 50) for name in ("recall", "ndcg")]
    lines = []
    for name in names:
        full = [cell(name, "all", metric, 4) for metric in header]
        short = [
            shown if metric.endswith("@20") else shown.split(" ")[0]
            for metric, shown in zip(header, full, strict=True)
        ]
        lines.append([f"`{name}`", *short])
    return table(["model", *header], lines)


def _lifts(rows: Sequence[Row], cell: Cells) -> str:
    settings = _values(
        rows, "setting", lambda r: r["model"] == "ensemble" and ", over " in str(r["setting"])
    )
    metrics = ("recall@20_lift_percent", "ndcg@20_lift_percent")
    lines = [
        [*setting.split(", over "), *(cell("ensemble", setting, m, 1) for m in metrics)]
        for setting in settings
    ]
    return table(["managers", "over", "recall@20", "ndcg@20"], lines)


def _sizes(rows: Sequence[Row], cell: Cells) -> str:
    names = _values(rows, "model", lambda r: r["setting"] == SIZES[0])
    header = [f"{m}, {size.split('_')[0]}" for size in SIZES for m in ("recall@20", "ndcg@20")]
    lines = [
        [f"`{name}`", *(cell(name, s, m, 3) for s in SIZES for m in ("recall@20", "ndcg@20"))]
        for name in names
    ]
    return table(["model", *header], lines)


def _sectors(rows: Sequence[Row], cell: Cells) -> str:
    settings = _values(rows, "setting", lambda r: str(r["setting"]).startswith("sector "))
    names = ("popularity", "itemcf", "ensemble")
    lines = [
        [setting.removeprefix("sector "), *(cell(name, setting, "recall@20", 3) for name in names)]
        for setting in settings
    ]
    return table(["sector", *(f"`{name}`" for name in names)], lines)


def _reliability(rows: Sequence[Row], cell: Cells) -> str:
    bins = [r for r in rows if str(r["setting"]).startswith("chance ") and r["metric"] == "pairs"]
    bins.sort(key=lambda row: float(str(row["setting"]).split(" ")[1]))
    lines = [
        [
            str(row["setting"]).removeprefix("chance "),
            f"{number(row['value']):,.0f}",
            cell("ensemble", str(row["setting"]), "predicted", 5),
            cell("ensemble", str(row["setting"]), "observed", 5),
        ]
        for row in bins
    ]
    error = cell("ensemble", "all", "calibration_error", 5)
    shown = table(["predicted chance", "pairs", "mean prediction", "part that happened"], lines)
    return f"{shown}\n\nExpected calibration error: {error}." if error != DASH else shown


def _random(rows: Sequence[Row], cell: Cells) -> str:
    settings = _values(
        rows, "setting", lambda r: r["model"] == "gnnmr" and "8:1:1" in str(r["setting"])
    )
    lines = []
    for setting in settings:
        lift = " over " in setting
        metrics = [f"{m}_lift_percent" if lift else m for m in ("recall@20", "ndcg@20")]
        shown = [
            cell("gnnmr", setting, m, 1 if lift else 4) + (" %" if lift else "") for m in metrics
        ]
        lines.append([setting.removeprefix("random 8:1:1, "), *shown])
    return table(["GNNMR", "recall@20", "ndcg@20"], lines)
