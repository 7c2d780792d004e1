"""What the containers promise, read from their files; no container engine is needed."""

from pathlib import Path

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_do_not_run_as_root(path: Path) -> None:
    users = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("USER")]
    assert users
    assert users[-1] not in {"root", "0"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_check_their_health(path: Path) -> None:
    assert "HEALTHCHECK" in path.read_text()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_everything_an_image_copies_exists(path: Path) -> None:
    copied = [line.split()[1:-1] for line in path.read_text().splitlines() if line[:4] == "COPY"]
    missing = [name for names in copied for name in names if not (ROOT / name).exists()]
    assert missing == []


def test_the_service_image_leaves_torch_out() -> None:
    text = (ROOT / "deploy" / "service.Dockerfile").read_text()
    assert "'.[service]'" in text


def test_redis_keeps_events_and_never_evicts_them() -> None:
    command = COMPOSE["services"]["redis"]["command"]
    settings = dict(zip(command[1::2], command[2::2], strict=True))
    assert settings["--appendonly"] == "yes"
    assert settings["--maxmemory-policy"] == "noeviction"


def test_service_and_trainer_share_a_home_folder_that_both_can_write() -> None:
    services = COMPOSE["services"]
    assert services["service"]["volumes"] == ["workspace:/var/lib/mutualrec"]
    assert services["trainer"]["volumes"] == ["workspace:/var/lib/mutualrec"]


def test_workers_of_a_read_only_service_have_a_place_for_their_counters() -> None:
    service = COMPOSE["services"]["service"]
    assert service["read_only"]
    assert "/tmp" in service["tmpfs"]


def test_built_services_use_files_that_exist() -> None:
    built = [s["build"]["dockerfile"] for s in COMPOSE["services"].values() if "build" in s]
    assert [name for name in built if not (ROOT / name).exists()] == []


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for s in COMPOSE["services"].values() for port in s.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["service", "trainer"])
def test_containers_set_only_what_the_settings_know(name: str) -> None:
    variables = COMPOSE["services"][name]["environment"]
    ours = {key: value for key, value in variables.items() if key.startswith("MUTUALREC_")}
    assert ours
    Settings.load(ours)


def test_the_trainer_is_the_scheduler() -> None:
    script = (ROOT / "deploy" / "trainer.sh").read_text()
    assert script.splitlines()[-1] == "exec mutualrec scheduler"
    assert (
        'CMD ["sh", "/usr/local/bin/trainer"]'
        in (ROOT / "deploy" / "trainer.Dockerfile").read_text()
    )


def test_the_trainer_may_end_in_order_when_it_is_stopped() -> None:
    trainer = COMPOSE["services"]["trainer"]
    grace_s = int(trainer["stop_grace_period"].removesuffix("s"))
    assert grace_s > Settings.load(trainer["environment"]).train_grace_s
