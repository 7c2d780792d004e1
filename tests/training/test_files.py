from pathlib import Path

import pytest

from training.errors import DataError
from training.files import replace_folder, replace_text, replacing


def test_a_file_is_replaced_completely(tmp_path: Path) -> None:
    replace_text(tmp_path / "a.json", "old")
    replace_text(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    replace_text(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.json") as draft:
        draft.write_text(f"{1 / 0}")
    assert (tmp_path / "a.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_draft_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "curves.png") as draft:
        draft.touch()
    assert draft.suffix == ".png"


def test_a_folder_that_fails_to_fill_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "chosen"
    replace_folder(folder, lambda target: (target / "mark").write_text("old"), "mark")

    def fail(target: Path) -> None:
        (target / "mark").write_text("new")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        replace_folder(folder, fail, "mark")
    assert (folder / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["chosen"]


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no mark"):
        replace_folder(tmp_path / "thesis", lambda _: None, "mark")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"
