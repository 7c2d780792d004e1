"""Which version of a catalog is the current one."""

from pathlib import Path

import pytest

from service.artifact import current_version, list_catalogs, list_versions, set_current
from service.errors import ArtifactNotFound


@pytest.fixture
def version(tmp_path: Path, publish) -> str:
    return publish(tmp_path)


def test_writing_does_not_move_current(tmp_path, version):
    assert list_versions(tmp_path, "default") == [version]
    assert current_version(tmp_path, "default") is None


def test_current_moves_forward_and_back(tmp_path, publish):
    first, second = publish(tmp_path), publish(tmp_path)
    set_current(tmp_path, "default", second)
    set_current(tmp_path, "default", first)
    assert current_version(tmp_path, "default") == first
    assert list_versions(tmp_path, "default") == [first, second]
    assert list_catalogs(tmp_path) == ["default"]


def test_current_leaves_no_draft_beside_it(tmp_path, version):
    set_current(tmp_path, "default", version)
    names = sorted(path.name for path in (tmp_path / "default").iterdir())
    assert names == sorted([version, "CURRENT"])


def test_current_cannot_name_a_missing_version(tmp_path, version):
    set_current(tmp_path, "default", version)
    with pytest.raises(ArtifactNotFound):
        set_current(tmp_path, "default", "20200101T000000000000Z-00000000")
    assert current_version(tmp_path, "default") == version


def test_a_current_that_names_a_missing_version_tells_the_fix(tmp_path, version):
    missing = "20200101T000000000000Z-00000000"
    (tmp_path / "default" / "CURRENT").write_text(missing)
    with pytest.raises(ArtifactNotFound, match=f"{version}.*rollback"):
        current_version(tmp_path, "default")
