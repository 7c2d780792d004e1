"""The rooms and the arrows between them (README, "How it is built")."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "service", "training", "mutualrec")
MODULES = sorted(path.relative_to(ROOT) for p in PACKAGES for path in (ROOT / p).rglob("*.py"))
MAY_NOT_IMPORT = {
    "models": {
        *("service", "training", "mutualrec", "fastapi", "redis", "faiss", "pydantic"),
        *("pathlib", "os", "json", "httpx", "uvicorn", "benchmarks"),
    },
    "service": {"models", "training", "mutualrec", "torch", "torch_geometric", "benchmarks"},
    "training": {"mutualrec", "fastapi", "uvicorn", "faiss", "benchmarks"},
    "mutualrec": set(),
}
TRAINING_MAY_USE = {"service.artifact", "service.events", "service.errors"}
LAZY = {
    *("models", "service", "training", "benchmarks"),
    *("torch", "faiss", "redis", "uvicorn", "fastapi"),
}
# The client's answers have the types that the service writes them with: pydantic, and no more.
BODIES = {
    *("service.schemas", "service.events", "service.funds.schemas"),
    *("service.publishing.schemas", "service.experiments.measured", "service.erasure.schemas"),
    "service.scheduling.schemas",
}
# The longest reasonable file; a longer one needs its reason stated here.
LONGER_THAN_300 = set()


def imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_follow_the_arrows(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(parse(path))}
    assert roots & MAY_NOT_IMPORT[path.parts[0]] == set()


def test_training_uses_only_the_contracts_of_the_service() -> None:
    used = {
        name
        for path in MODULES
        if path.parts[0] == "training"
        for name in imports(parse(path))
        if name.split(".")[0] == "service"
    }
    assert used <= TRAINING_MAY_USE


def at_import_time(tree: ast.Module) -> set[str]:
    """Names imported outside functions and outside `if TYPE_CHECKING`."""
    kept = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    return imports(ast.Module(body=kept, type_ignores=[]))


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "mutualrec"], ids=str)
def test_the_command_line_imports_the_heavy_packages_lazily(path: Path) -> None:
    bodies = BODIES if path.parts[1] == "client" else set()
    roots = {name.split(".")[0] for name in at_import_time(parse(path)) - bodies}
    assert roots & LAZY == set()


def test_the_service_works_without_torch() -> None:
    code = "import sys, service.app; print('torch' in sys.modules, 'training' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.split() == ["False", "False"]


def test_the_packages_are_this_projects() -> None:
    code = "import models, service, training, mutualrec as m; print(models, service, training, m)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.count(str(ROOT)) == 4


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_file_is_one_idea_of_at_most_300_lines(path: Path) -> None:
    length = len((ROOT / path).read_text().splitlines())
    assert length <= 300 or str(path) in LONGER_THAN_300


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_function_is_one_step_of_at_most_60_lines(path: Path) -> None:
    long = [
        node.name
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.body[0].lineno > 60
    ]
    assert long == []


def test_no_test_folder_is_a_package() -> None:
    # tests/models/__init__.py would shadow the real `models`.
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_nothing_is_pickled_or_evaluated() -> None:
    forbidden = {"pickle", "cPickle", "dill", "joblib", "cloudpickle"}
    found = {str(p) for p in MODULES if {n.split(".")[0] for n in imports(parse(p))} & forbidden}
    calls = {
        str(path)
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"eval", "exec"}
    }
    assert found | calls == set()
