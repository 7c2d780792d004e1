"""What a settings file says of strategies."""

from pathlib import Path

import pytest

from training.config import read_run_config
from training.errors import DataError

SETTINGS = """
[micro.params]
embedding_dim = 16
[micro.training]
max_epochs = 50
patience = 3
[micro.ckd.params]
distill_weight = 0.3
temperature = 0.5
[micro.ckd.model]
reg_weight = 0.0
[micro.ckd.training]
max_epochs = 20
[micro.gb.params]
floor = 0.5
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    return path


def test_a_file_holds_settings_of_each_strategy(settings: Path) -> None:
    ckd = read_run_config(
        settings, model="micro", seed=0, strategy="CKD", strategy_params={"temperature": 1.0}
    )
    assert ckd.strategy_params == {"distill_weight": 0.3, "temperature": 1.0}
    assert (ckd.training.max_epochs, ckd.training.patience) == (20, 3)
    assert ckd.params == {"embedding_dim": 16, "reg_weight": 0.0}
    plain = read_run_config(settings, model="micro", seed=0)
    assert (plain.strategy, plain.strategy_params) == ("plain", {})
    assert plain.training.max_epochs == 50
    assert plain.params == {"embedding_dim": 16}


def test_a_file_can_choose_strategy_and_modalities(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('strategy = "gb"\nmodalities = ["text", "image"]\n[gb.params]\nfloor = 0.5\n')
    chosen = read_run_config(path, model="micro", seed=0)
    assert (chosen.strategy, chosen.strategy_params) == ("gb", {"floor": 0.5})
    assert chosen.modalities == ("text", "image")
    other = read_run_config(path, model="micro", seed=0, strategy="ogm", modalities=["audio"])
    assert (other.strategy, other.strategy_params) == ("ogm", {})
    assert other.modalities == ("audio",)


def test_an_unknown_table_of_a_strategy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[micro.ckd]\ntemperature = 0.5\n")
    with pytest.raises(DataError, match=r"ckd\.temperature is unknown; use ckd\.params"):
        read_run_config(path, model="micro", seed=0, strategy="ckd")
