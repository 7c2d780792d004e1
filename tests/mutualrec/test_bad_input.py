"""What a user can get wrong, and what can be damaged: one line that names the fix, exit code 1."""

import json
import socket

import pytest


def assert_refused(result, *words: str) -> None:
    assert result.code == 1, result
    [line] = [line for line in result.err.splitlines() if not line.startswith("WARNING")]
    assert line.startswith("error: ")
    assert [word for word in words if word not in line] == []


COMMANDS = {
    "train": ("train", "demo", "--model", "bpr", "--set", "max_epochs=1"),
    "versions": ("versions",),
    "rollback": ("rollback",),
    "retrain": ("retrain",),
    "serve": ("serve", "--port", "0"),
    "demo": ("demo", "--no-serve"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_home_that_is_a_file_is_refused(name, invoke, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    (workspace / "file").write_text("not a folder")
    assert_refused(invoke(*COMMANDS[name], "--home", "file"), "file", "Not a directory", "--home")


@pytest.mark.parametrize("name", ["train", "retrain", "serve", "demo"])
def test_a_home_that_cannot_be_written_is_refused(name, invoke, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    assert_refused(invoke(*COMMANDS[name], "--home", "/proc/nowhere"), "/proc/nowhere", "--home")


def test_a_target_that_cannot_be_written_is_refused(invoke):
    assert_refused(invoke("import", "demo", "/proc/nowhere/demo"), "/proc/nowhere")


@pytest.mark.parametrize("name", ["../../evil", "a/b", ".hidden", "x" * 101])
@pytest.mark.parametrize("command", [("train", "--model", "bpr"), ("ensemble",)])
def test_a_name_that_could_leave_its_folder_is_refused(command, name, invoke, workspace):
    refused = invoke(command[0], workspace / "demo", *command[1:], f"--name={name}")
    assert_refused(refused, "letters, digits")


DAMAGED = {
    "run settings": ("runs/demo/bpr-seed0/config.json", "ensemble", "--name", "other"),
    "run result": ("runs/demo/bpr-seed0/result.json", "ensemble", "--name", "other"),
    "run vectors": ("runs/demo/bpr-seed0/embeddings.safetensors", "ensemble", "--name", "other"),
    "measured run": ("runs/demo/bpr-seed0/result.json", "evaluate", "--run", "bpr-seed0"),
    "ensemble": ("ensembles/demo/default/ensemble.json", "publish"),
    "ensemble vectors": ("ensembles/demo/default/ensemble.safetensors", "publish"),
    "measured ensemble": ("ensembles/demo/default/ensemble.json", "evaluate", "--ensemble=default"),
}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe\x00damaged"])
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_results_of_an_earlier_command_are_refused(case, content, invoke, workspace):
    name, command, *options = DAMAGED[case]
    path = workspace / "var" / name
    path.write_bytes(content)
    refused = invoke(command, workspace / "demo", *options)
    assert_refused(refused, str(path), f"delete the folder {path.parent}")
    assert not (workspace / "var" / "ensembles" / "demo" / "other").exists()


@pytest.mark.parametrize(
    "name", ["dataset.toml", "interactions.parquet", "items.parquet", "features/image.npy"]
)
def test_a_damaged_dataset_is_refused(name, invoke, workspace):
    (workspace / "demo" / name).write_bytes(b"\xff\xfe\x00damaged")
    assert_refused(invoke("publish", workspace / "demo"), name)


def test_a_config_file_that_is_not_text_is_refused(invoke, workspace):
    (workspace / "c.toml").write_bytes(b"\xff\xfe")
    refused = invoke(
        "train", workspace / "demo", "--model", "bpr", "--config", workspace / "c.toml"
    )
    assert_refused(refused, "c.toml")


def test_an_inter_file_without_a_line_is_refused(invoke, tmp_path):
    (tmp_path / "a.inter").write_text("userID\titemID\tx_label\n")
    refused = invoke("import", "mmrec", tmp_path, tmp_path / "data")
    assert_refused(refused, "names no interaction")
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("workspace")
def test_a_port_in_use_is_refused_and_says_so(invoke):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert_refused(invoke("serve", "--port", port), str(port), "in use", "--port")


@pytest.mark.usefixtures("workspace")
def test_a_host_that_is_not_ours_is_refused(invoke):
    assert_refused(invoke("serve", "--host", "192.0.2.1"), "192.0.2.1", "--host")


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("command", ["serve", "retrain"])
def test_a_redis_url_that_is_none_is_refused_without_showing_it(command, invoke, monkeypatch):
    monkeypatch.setenv("MUTUALREC_REDIS_URL", "http://:secret@host")
    result = invoke(command)
    assert result.code == 2
    assert "redis://" in result.err
    assert "secret" not in result.err


@pytest.mark.usefixtures("workspace")
def test_retraining_without_a_redis_that_answers_names_the_setting(invoke, monkeypatch):
    monkeypatch.setenv("MUTUALREC_REDIS_URL", "redis://127.0.0.1:1")
    assert_refused(invoke("retrain"), "127.0.0.1:1", "MUTUALREC_REDIS_URL")


def test_publishing_in_a_catalog_whose_name_is_not_allowed_writes_nothing(invoke, workspace):
    assert_refused(invoke("publish", workspace / "demo", "--catalog", "a/b"), "catalog name")
    assert [path.name for path in (workspace / "var" / "artifacts").iterdir()] == ["default"]


@pytest.mark.parametrize("version", ["nope", "20260101T000000000000Z-00000000"])
def test_a_rollback_to_an_unknown_version_changes_nothing(version, invoke, workspace):
    pointer = workspace / "var" / "artifacts" / "default" / "CURRENT"
    before = pointer.read_text()
    assert_refused(invoke("rollback", version), version)
    assert pointer.read_text() == before


@pytest.mark.parametrize("content", [b"nonsense", b"\xff", b"20260101T000000000000Z-00000000"])
def test_a_damaged_pointer_is_repaired_by_the_rollback_its_error_names(content, invoke, workspace):
    pointer = workspace / "var" / "artifacts" / "default" / "CURRENT"
    good = pointer.read_text().strip()
    pointer.write_bytes(content)
    assert_refused(invoke("versions"), good, "mutualrec rollback <version>")
    assert invoke("rollback", good).code == 0
    assert pointer.read_text().strip() == good


@pytest.mark.usefixtures("workspace")
def test_versions_of_a_catalog_that_has_none_says_what_to_do(invoke):
    assert_refused(invoke("versions", "--catalog", "none"), "mutualrec publish")


def test_a_damaged_manifest_does_not_hide_the_other_versions(invoke, workspace):
    catalog = workspace / "var" / "artifacts" / "default"
    old = catalog / (catalog / "CURRENT").read_text().strip()
    assert invoke("publish", workspace / "demo").code == 0
    (old / "manifest.json").write_bytes(b"\xff{")
    shown = invoke("versions")
    assert shown.code == 0
    assert "damaged" in shown.out
    assert "bpr, itemcf" in shown.out


def test_retraining_without_the_base_data_names_the_folder(invoke, workspace):
    catalog = workspace / "var" / "artifacts" / "default"
    path = catalog / (catalog / "CURRENT").read_text().strip() / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["recipe"]["dataset_folder"] = str(workspace / "gone")
    path.write_text(json.dumps(manifest))
    assert_refused(invoke("retrain"), "base data", str(workspace / "gone"))
