from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fund_world import draft_of_world, facts_of_world, make_world

from service.artifact import load_artifact, write_artifact
from service.errors import ArtifactCorrupt
from service.funds.facts import ARRAYS

WORLD = make_world()


def test_facts_come_back_as_they_were_written(tmp_path: Path) -> None:
    facts = facts_of_world(WORLD)
    version = write_artifact(tmp_path, "funds", draft_of_world(WORLD))
    read = load_artifact(tmp_path, "funds", version).funds
    assert [
        name for name in ARRAYS if not np.array_equal(getattr(read, name), getattr(facts, name))
    ] == []
    assert (list(read.names), list(read.ciks)) == (facts.names, facts.ciks)
    assert read.columns == facts.columns


def test_both_files_are_in_the_manifest_with_their_hashes(tmp_path: Path) -> None:
    version = write_artifact(tmp_path, "funds", draft_of_world(WORLD))
    manifest = load_artifact(tmp_path, "funds", version).manifest
    assert {"funds.json", "funds.safetensors"} <= set(manifest.files)
    path = tmp_path / "funds" / version / "funds.json"
    path.write_text(path.read_text().replace("DAVIS", "DAVID"))
    with pytest.raises(ArtifactCorrupt, match=r"funds\.json has SHA-256"):
        load_artifact(tmp_path, "funds", version)


def test_other_catalogs_carry_neither_file(tmp_path: Path, publish) -> None:
    artifact = load_artifact(tmp_path, "default", publish(tmp_path))
    assert artifact.funds is None
    assert not {"funds.json", "funds.safetensors"} & set(artifact.manifest.files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["one"]}, "1 names and 12 CIKs for 12 users"),
        ({"values": np.array([-1.0])}, "values has dtype float64 and shape"),
        ({"quarters": np.array([3, 2], np.int32)}, "quarter_rows must lie in 0..1"),
    ],
)
def test_facts_that_contradict_themselves_are_refused(tmp_path, changes, message) -> None:
    facts = replace(facts_of_world(WORLD), **changes)
    with pytest.raises(ArtifactCorrupt, match=message):
        write_artifact(tmp_path, "funds", draft_of_world(WORLD, funds=facts))


def test_positions_out_of_order_or_twice_are_refused(tmp_path: Path) -> None:
    facts = facts_of_world(WORLD)
    columns = [name for name in ARRAYS if name != "quarters"]
    turned = replace(facts, **{name: getattr(facts, name)[::-1].copy() for name in columns})
    doubled = replace(facts, **{name: np.repeat(getattr(facts, name), 2) for name in columns})
    for wrong in (turned, doubled):
        with pytest.raises(ArtifactCorrupt, match="sorted by fund, quarter and company, each once"):
            write_artifact(tmp_path, "funds", draft_of_world(WORLD, funds=wrong))
