import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from command_line import run_commands

from mutualrec.main import run


class Result(NamedTuple):
    code: int
    out: str
    err: str


Invoke = Callable[..., Result]

QUICK = ("--set", "max_epochs=1", "--set", "num_threads=1")


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Invoke]:
    """Run the command line in this process, in a workspace of its own."""
    monkeypatch.setenv("MUTUALREC_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("MUTUALREC_REDIS_URL", raising=False)

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["mutualrec", *map(str, arguments)])
        code = 0
        try:
            run()
        except SystemExit as stop:
            code = int(stop.code or 0)
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    yield call
    logging.getLogger().handlers.clear()


@pytest.fixture
def demo(invoke: Invoke, tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    assert invoke("import", "demo", folder, "--users", 120, "--items", 60).code == 0
    return folder


@pytest.fixture(scope="session")
def _workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, two runs, an ensemble and a version, made once."""
    root = tmp_path_factory.mktemp("workspace")
    run_commands(
        root / "var",
        ("import", "demo", root / "demo", "--users", 120, "--items", 60),
        ("train", root / "demo", "--model", "bpr", *QUICK),
        ("train", root / "demo", "--model", "itemcf", "--param", "rank=8"),
        ("ensemble", root / "demo", "--weight", 0.5, "--weight", 1),
        ("publish", root / "demo"),
    )
    return root


@pytest.fixture
def workspace(_workspace: Path, tmp_path: Path) -> Path:
    """A copy of it under ``tmp_path``, where `invoke` works: ``demo`` and ``var``."""
    shutil.copytree(_workspace, tmp_path, dirs_exist_ok=True)
    return tmp_path
