"""The documents name all there is: a new setting, endpoint, model or command needs a line."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from benchmarks.tables import BENCHMARKS_PAGE, render
from mutualrec.main import app
from service.app import create_app
from service.settings import ENV_PREFIX, Settings
from training.data.splits import SPLITS
from training.gate.limits import Limits
from training.registry import model_names, strategy_names

ROOT = Path(__file__).parents[1]
SERVICE = (ROOT / "docs" / "service.md").read_text()
MODELS = (ROOT / "docs" / "models.md").read_text()
RETRAINING = (ROOT / "docs" / "retraining.md").read_text()
DATA = (ROOT / "docs" / "data.md").read_text()
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(typer.main.get_command(app).commands)
ENDPOINTS = [
    f"{method.upper()} {path}"
    for path, methods in create_app(Settings.load({})).openapi()["paths"].items()
    for method in methods
]
ROW_KEYS = {
    *("benchmark", "dataset", "model", "setting", "metric", "value", "low", "high", "seeds"),
    *("command", "commit"),
}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{ENV_PREFIX}{name.upper()}`" in SERVICE


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_every_limit_of_the_gate_is_documented(name: str) -> None:
    assert f"`{name}`" in RETRAINING


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_is_documented(endpoint: str) -> None:
    assert f"`{endpoint}`" in SERVICE


@pytest.mark.parametrize("name", model_names())
def test_every_model_has_a_section(name: str) -> None:
    assert f"\n## {name}\n" in MODELS


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_is_documented(name: str) -> None:
    section = MODELS.split("\n## Strategies\n")[1].split("\n## ")[0]
    assert re.search(rf"^### {name}$|`{name}`", section, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_every_split_is_documented(name: str) -> None:
    assert f"`{name}`" in DATA


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`mutualrec {name}`" in README


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", path.read_text())
    assert links == [
        (file, section)
        for file, section in links
        if (target := path.parent / file if file else path).exists()
        if not section or section in _sections(target)
    ]


def _sections(path: Path) -> set[str]:
    """What links call the sections of a document."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_benchmarks_page_is_generated_from_the_results() -> None:
    assert BENCHMARKS_PAGE.read_text() == render()


def test_the_benchmarks_page_names_each_commit_of_a_table_once() -> None:
    origins = [line for line in render().splitlines() if line.startswith("Made by ")]
    assert origins
    for origin in origins:
        commits = origin.removesuffix(".").rpartition(" at ")[2].split(", ")
        assert len(commits) == len(set(commits)), origin


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")))
def test_published_rows_have_their_command_and_commit(path: Path) -> None:
    rows = json.loads(path.read_text())
    assert all(set(row) == ROW_KEYS for row in rows)
    assert [row for row in rows if not row["command"] or row["commit"] in ("", "unknown")] == []
