"""Write `docs/benchmarks.md` from `benchmarks/results/`.

python -m benchmarks.tables
"""

import json
from collections.abc import Iterable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
BENCHMARKS_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TEXT = Path(__file__).parent / "benchmarks.template.md"
ACCURACY = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
PUBLISHED = {"bpr": 0.0575, "lightgcn": 0.0754, "micro": 0.0929}
"""Test Recall@20 on amazon-baby's official split, as docs/benchmarks.md cites it."""

Rows = list[dict[str, object]]


def render() -> str:
    """Return the page: the template's text with a table in place of each `{{name}}`."""
    text = TEXT.read_text()
    for name, make in (("accuracy", _accuracy), ("tuning", _tuning), ("others", _others)):
        text = text.replace("{{" + name + "}}", make())
    return text


def _accuracy() -> str:
    rows = _read("accuracy")
    groups: dict[tuple[str, str, str], dict[str, dict[str, object]]] = {}
    for row in rows:
        key = (str(row["dataset"]), str(row["model"]), str(row["setting"]))
        groups.setdefault(key, {})[str(row["metric"])] = row
    lines = []
    for (dataset, model, setting), metrics in sorted(
        groups.items(), key=lambda group: (group[0][0], _number(group[1]["recall@20"]["value"]))
    ):
        first = metrics["recall@20"]
        published = PUBLISHED.get(model) if dataset == "amazon-baby" else None
        lines.append(
            (
                dataset,
                model,
                *(_with_spread(metrics[name]) for name in ACCURACY),
                "" if published is None else f"{published:.4f}",
                setting,
                f"{first['seeds']}",
                f"`{first['command']}`",
                str(first["commit"]),
            )
        )
    header = (
        *("dataset", "model", *ACCURACY, "published recall@20", "setting", "seeds"),
        *("command", "commit"),
    )
    return _table(header, lines)


def _tuning() -> str:
    groups: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in _read("tuning"):
        key = (str(row["dataset"]), str(row["model"]), str(row["setting"]))
        groups.setdefault(key, {})[str(row["metric"])] = _number(row["value"])
    lines = [
        (*key, f"{values['recall@20']:.4f}", f"{values['ndcg@20']:.4f}")
        for key, values in sorted(groups.items())
    ]
    return _table(("dataset", "model", "setting", "recall@20", "ndcg@20"), lines)


def _others() -> str:
    lines = [
        (
            str(row["benchmark"]),
            str(row["dataset"]),
            str(row["model"]),
            str(row["metric"]),
            _with_spread(row, digits=3),
            str(row["setting"]),
            f"`{row['command']}`",
            str(row["commit"]),
        )
        for path in sorted(RESULTS.glob("*.json"))
        if path.stem not in ("accuracy", "tuning")
        for row in _read(path.stem)
    ]
    header = (
        *("benchmark", "dataset", "model", "metric", "value (low to high)", "setting"),
        *("command", "commit"),
    )
    return _table(header, lines)


def _read(name: str) -> Rows:
    path = RESULTS / f"{name}.json"
    rows: Rows = json.loads(path.read_text()) if path.exists() else []
    return rows


def _with_spread(row: dict[str, object], digits: int = 4) -> str:
    value, low, high = (row[name] for name in ("value", "low", "high"))
    shown = f"{_number(value):.{digits}f}"
    if low is None or high is None or low == high:
        return shown
    return f"{shown} ({_number(low):.{digits}f} to {_number(high):.{digits}f})"


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    header = list(header)
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Write the page."""
    BENCHMARKS_PAGE.write_text(render())


if __name__ == "__main__":
    main()
