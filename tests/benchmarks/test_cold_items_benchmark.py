"""The benchmark of new items takes the service's own way, and looks at the test items once."""

from pathlib import Path

import pytest

from benchmarks.cold_items import measure
from benchmarks.place import Place
from mutualrec.workspace import Workspace
from training.data.dataset import Dataset
from training.errors import SplitLeakage


@pytest.fixture
def place(tmp_path: Path) -> Place:
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "demo.toml").write_text("[training]\nmax_epochs = 4\neval_every = 2\n")
    return Place(Workspace(tmp_path / "home"), configs=configs)


def test_every_way_is_measured_with_all_and_with_new_items_and_the_test_items_once(
    demo: Dataset, place: Place
) -> None:
    rows = measure(demo, place, "micro", test=True)
    found = {row.setting: row.value for row in rows if row.metric == "recall@20"}
    assert len(found) == 6
    assert found["test, new items compete: service"] > 0
    assert {row.setting for row in rows if row.metric == "seconds"} == {
        "from PUT to its answer",
        "from PUT to another worker",
    }
    with pytest.raises(SplitLeakage):
        measure(demo, place, "micro", test=True)
