import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.experiment import Experiment
from benchmarks.pictures import draw
from benchmarks.place import Place
from benchmarks.rows import Row, write_rows
from benchmarks.runner import check, plan, work
from training.data.dataset import Dataset
from training.errors import DataError, InvalidParams, UnknownModel, UnknownStrategy

TWO = """
channels = true
[[variant]]
label = "factors"
model = "bpr"
[[variant]]
label = "content"
model = "micro"
seeds = [0, 1]
over = "factors"
[[ensemble]]
label = "both"
members = ["factors", "content"]
"""


def rows_of(place: Place) -> dict[tuple[str, str], dict[str, object]]:
    rows = json.loads((place.results / "tiny.json").read_text())
    return {(row["setting"], row["metric"]): row for row in rows}


def records(place: Place) -> list[Path]:
    return sorted(place.workspace.runs("demo").glob("*/test.json"))


@pytest.fixture
def two(experiment) -> Experiment:
    return experiment(TWO)


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, experiment_in, place_in, demo: Dataset
) -> Path:
    """A folder in which both are measured."""
    folder = tmp_path_factory.mktemp("measured")
    assert work(plan([experiment_in(folder, TWO)], {"demo": demo}), place_in(folder)) == {}
    return folder


@pytest.fixture
def done(measured: Path, place: Place, tmp_path: Path) -> Place:
    """A copy of it."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    return place


def test_every_variant_has_its_rows(done: Place) -> None:
    rows = rows_of(done)
    assert {setting for setting, _ in rows} == {
        *("factors", "content", "both", "content over factors"),
        *("content, only image kept", "content, only text kept"),
    }
    assert rows["content", "recall@20"]["seeds"] == [0, 1]
    assert rows["content", "recall@20"]["model"] == "micro"
    assert rows["both", "recall@20"]["model"] == "ensemble"
    assert rows["content over factors", "recall@20_lift_percent"]["seeds"] == [0]


def test_the_spread_is_over_seeds_or_over_users(done: Place) -> None:
    rows = rows_of(done)
    found = [json.loads(path.read_text()) for path in records(done)]
    micro = sorted(r["metrics"]["ndcg@20"] for r in found if r["channels"])
    row = rows["content", "ndcg@20"]
    assert [row["low"], row["high"]] == [round(value, 4) for value in micro]
    factors = next(r for r in found if not r["channels"])
    row = rows["factors", "ndcg@20"]
    assert [row["low"], row["high"]] == [round(x, 4) for x in factors["intervals"]["ndcg@20"]]


def test_a_second_time_nothing_is_trained_or_tested(
    done: Place, two: Experiment, demo: Dataset
) -> None:
    files = [*records(done), *done.workspace.runs("demo").glob("*/result.json")]
    before = [path.stat().st_mtime_ns for path in files]
    (done.results / "tiny.json").unlink()
    assert work(plan([two], {"demo": demo}), done) == {}
    assert [path.stat().st_mtime_ns for path in files] == before
    assert rows_of(done)["content", "recall@20"]["seeds"] == [0, 1]


def test_experiments_share_equal_runs(done: Place, two: Experiment, demo: Dataset) -> None:
    other = replace(two, name="other", variants=(replace(two.variants[1], over="", label="x"),))
    work(plan([replace(other, ensembles=())], {"demo": demo}), done)
    assert len(records(done)) == 3
    assert (done.results / "other.json").exists()


def test_the_teacher_of_a_strategy_is_the_run_on_its_modality(
    experiment, demo: Dataset, place: Place
) -> None:
    made = experiment(
        """
[[variant]]
label = "plain"
model = "vbpr"
[[variant]]
label = "distilled"
model = "vbpr"
strategy = "ckd"
over = "plain"
[[variant]]
label = "teacher of text"
model = "vbpr"
modalities = ["text"]
"""
    )
    assert work(plan([made], {"demo": demo}), place) == {}
    assert ("distilled over plain", "ckd_lift_percent") in rows_of(place)
    teachers = sorted(place.workspace.runs("demo").glob(".teachers/*/result.json"))
    assert len(teachers) == 2
    assert place.run(demo, made.variants[2], seed=0).path == teachers[1].parent
    assert (teachers[1].parent / "test.json").exists()


def test_an_interruption_keeps_the_rows_of_what_was_done(
    two: Experiment, demo: Dataset, place: Place
) -> None:
    def stop(text: str) -> None:
        if "seed 1" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(plan([two], {"demo": demo}), place, stop)
    assert rows_of(place)["content", "recall@20"]["seeds"] == [0]
    assert work(plan([two], {"demo": demo}), place) == {}
    assert rows_of(place)["content", "recall@20"]["seeds"] == [0, 1]


def test_a_failure_is_reported_and_the_others_are_done(
    experiment, demo: Dataset, place: Place
) -> None:
    made = experiment(
        """
[[variant]]
label = "diverges"
model = "bpr"
training = { learning_rate = 1e30 }
[[variant]]
label = "works"
model = "bpr"
[[ensemble]]
label = "both"
members = ["diverges", "works"]
"""
    )
    failed = work(plan([made], {"demo": demo}), place)
    assert list(failed) == ["tiny on demo: diverges, seed 0", "tiny on demo: both"]
    assert "training diverged" in failed["tiny on demo: diverges, seed 0"]
    assert {setting for setting, _ in rows_of(place)} == {"works"}


def test_an_interrupted_measuring_names_the_folder_to_delete(
    done: Place, two: Experiment, demo: Dataset
) -> None:
    record = records(done)[0]
    record.write_text('{"opened_at": "2026-01-01", "split": "official"}')
    failed = work(plan([two], {"demo": demo}), done)
    assert "delete the folder" in next(iter(failed.values()))
    assert str(record.parent) in next(iter(failed.values()))


def test_what_is_chosen_on_validation_opens_no_test_split(
    experiment, demo: Dataset, place: Place
) -> None:
    made = experiment('part = "validation"\n[[variant]]\nlabel = "a"\nmodel = "bpr"')
    assert work(plan([made], {"demo": demo}), place) == {}
    assert records(place) == []
    assert rows_of(place)["a", "recall@20"]["low"] is None


def test_only_some_variants_are_measured_and_an_ensemble_brings_its_members(
    two: Experiment, demo: Dataset
) -> None:
    assert [str(job) for job in plan([two], {"demo": demo}, ["factors"])] == [
        "tiny on demo: factors, seed 0"
    ]
    assert len(plan([two], {"demo": demo}, ["both"])) == 4
    with pytest.raises(DataError, match="no variant is called neither; choose from: factors"):
        plan([two], {"demo": demo}, ["neither"])


def test_a_dataset_that_is_missing_is_named(two: Experiment) -> None:
    with pytest.raises(DataError, match=r"tiny is measured on demo.*--dataset"):
        plan([two], {})


@pytest.mark.parametrize(
    ("variant", "error"),
    [
        ('model = "bqr"', UnknownModel),
        ('model = "bpr"\nparams = { depth = 1 }', InvalidParams),
        ('model = "bpr"\ntraining = { epochs = 1 }', DataError),
        ('model = "micro"\nstrategy = "kd"', UnknownStrategy),
        ('model = "micro"\nstrategy = "ckd"\nstrategy_params = { tau = 1 }', InvalidParams),
    ],
)
def test_unknown_names_are_refused_before_anything_is_trained(
    variant: str, error: type[Exception], experiment, demo: Dataset, place: Place
) -> None:
    made = experiment(f'[[variant]]\nlabel = "a"\n{variant}')
    with pytest.raises(error):
        check(plan([made], {"demo": demo}), place)


def test_settings_chosen_for_the_dataset_lie_under_those_of_the_variant(
    experiment, demo: Dataset, place: Place
) -> None:
    (place.configs / "demo.toml").write_text(
        "[bpr.params]\nreg_weight = 0.5\nembedding_dim = 99\n[bpr.training]\npatience = 3\n"
    )
    made = experiment('[[variant]]\nlabel = "a"\nmodel = "bpr"')
    config = place.config(demo, made.variants[0], seed=4)
    assert config.params["reg_weight"] == 0.5
    assert config.params["embedding_dim"] == 8
    assert config.training.patience == 3
    assert config.seed == 4


def row(setting: str, value: float = 1.0) -> Row:
    return Row("b", "demo", "bpr", setting, "recall@20", value, None, None, [0], "c", "d")


def test_a_row_replaces_the_one_it_measures_anew(tmp_path: Path) -> None:
    write_rows("b", [row("x"), row("y")], tmp_path)
    write_rows("b", [row("x", 2.0)], tmp_path)
    rows = json.loads((tmp_path / "b.json").read_text())
    assert [(r["setting"], r["value"]) for r in rows] == [("x", 2.0), ("y", 1.0)]


WRITER = """
import sys
from pathlib import Path
from benchmarks.rows import Row, update_rows
for number in range(25):
    made = Row("b", "demo", "bpr", sys.argv[2] + str(number), "m", 1.0, None, None, [0], "c", "d")
    update_rows("b", lambda: [made], Path(sys.argv[1]))
"""


def test_two_processes_do_not_overwrite_each_others_rows(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "xy"
    ]
    assert [writer.wait(300) for writer in writers] == [0, 0]
    assert len(json.loads((tmp_path / "b.json").read_text())) == 50


SHARER = """
import sys
from pathlib import Path
from benchmarks.experiment import read_experiment
from benchmarks.place import Place
from benchmarks.runner import plan, work
from mutualrec.workspace import Workspace
from training.data.dataset import read_dataset
root, data = Path(sys.argv[1]), read_dataset(Path(sys.argv[2]))
place = Place(Workspace(root / "home"), results=root / "results", configs=root)
failed = work(plan([read_experiment(root / "tiny.toml")], {"demo": data}), place, print)
sys.exit(len(failed))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("two")
def test_two_processes_share_the_work_of_one_home_folder(
    demo_path: Path, tmp_path: Path, place: Place
) -> None:
    arguments = [sys.executable, "-c", SHARER, str(tmp_path), str(demo_path)]
    workers = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    shown = [worker.communicate(timeout=900)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], shown
    assert rows_of(place)["content", "recall@20"]["seeds"] == [0, 1]
    assert ("both", "recall@20") in rows_of(place)
    assert len(records(place)) == 3


def test_equal_rows_give_equal_pictures(done: Place, two: Experiment, tmp_path: Path) -> None:
    rows = json.loads((done.results / "tiny.json").read_text())
    for name in ("a.svg", "b.svg"):
        draw(two, rows, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
