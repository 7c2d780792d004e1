import pytest
import redis

from service.doctor import Finding, examine
from service.doctor.examination import check_artifact, check_keys
from service.doctor.machine import check_disk, check_machine, check_threads
from service.doctor.redis_server import check_redis
from service.keys import create_key, revoke_key
from service.settings import Settings

GOOD_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}
GOOD_INFO = {
    "redis_version": "7.0.15",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "maxmemory_policy": "noeviction",
    "used_memory": 10 << 20,
    "maxmemory": 100 << 20,
}


class Server:
    """A server that says what it is told to say."""

    def __init__(self, fsync: str = "everysec", waiting: int = 0, **changes: object) -> None:
        self._info = GOOD_INFO | changes
        self._fsync = fsync
        self._waiting = waiting
        self._asked = 0

    def info(self) -> dict[str, object]:
        return self._info

    def config_get(self, name: str) -> dict[str, str]:
        if self._fsync == "refused":
            raise redis.ResponseError("unknown command")
        return {name: self._fsync}

    def pipeline(self, transaction: bool) -> "Server":  # noqa: ARG002
        return self

    def xlen(self, _key: str) -> None:
        self._asked += 1

    def execute(self) -> list[int]:
        return [self._waiting] * self._asked


def levels(findings) -> dict[str, str]:
    return {finding.check: finding.level for finding in findings}


def bad(findings) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_a_good_server_has_no_finding():
    assert bad(check_redis(Server(), ["default"])) == []


@pytest.mark.parametrize(
    ("changes", "check", "level", "fix"),
    [
        ({"redis_version": "6.2.14"}, "redis version", "error", "7.0"),
        ({"aof_enabled": 0}, "redis persistence", "error", "appendonly yes"),
        ({"aof_last_write_status": "err"}, "redis persistence", "error", "disk"),
        ({"fsync": "no"}, "redis persistence", "warning", "everysec"),
        ({"maxmemory_policy": "allkeys-lru"}, "redis eviction", "error", "noeviction"),
        ({"used_memory": 90 << 20}, "redis memory", "warning", "maxmemory"),
        ({"waiting": 100_000}, "event backlog", "warning", "mutualrec retrain"),
    ],
)
def test_what_is_wrong_with_a_server_is_found_with_its_fix(changes, check, level, fix):
    (finding,) = bad(check_redis(Server(**changes), ["default"]))
    assert (finding.check, finding.level) == (check, level)
    assert fix in finding.fix


def test_a_hosted_server_that_hides_its_configuration_is_no_finding():
    assert bad(check_redis(Server(fsync="refused"), ["default"])) == []


def test_a_server_that_does_not_answer_is_an_error():
    with redis.Redis(unix_socket_path="/nowhere/redis.sock") as client:
        (finding,) = check_redis(client, ["default"])
    assert (finding.check, finding.level) == ("redis", "error")


def test_the_private_server_passes(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert bad(check_redis(client, ["default"])) == []


def test_thread_settings_that_slow_searches_are_named_with_the_export_that_fixes_them():
    assert check_threads(GOOD_THREADS).level == "ok"
    finding = check_threads(GOOD_THREADS | {"OMP_NUM_THREADS": "8"})
    assert finding.level == "warning"
    assert finding.fix == "export OMP_NUM_THREADS=1"


def test_more_workers_than_processors_and_few_open_files_are_warnings():
    found = levels(check_machine("cpu", workers=8, num_cpus=2, open_files=256))
    assert found == {"index": "ok", "workers": "warning", "open files": "warning"}


def test_a_whole_version_is_fine_and_says_its_size(deploy, tmp_path):
    deploy()
    finding = check_artifact(tmp_path / "artifacts", "default")
    assert finding.level == "ok"
    assert "6 users, 12 items" in finding.says


def test_a_damaged_version_is_an_error_that_leads_back(deploy, tmp_path):
    version = deploy()
    damaged = tmp_path / "artifacts" / "default" / version / "embeddings.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    finding = check_artifact(tmp_path / "artifacts", "default")
    assert finding.level == "error"
    assert "mutualrec rollback" in finding.fix


def test_a_catalog_that_was_never_published_is_an_error(tmp_path):
    finding = check_artifact(tmp_path / "artifacts", "default")
    assert "mutualrec publish" in finding.fix


def test_a_disk_without_room_for_the_next_version_is_an_error(deploy, tmp_path):
    deploy()
    artifacts = tmp_path / "artifacts"
    assert check_disk(tmp_path, artifacts).level == "ok"
    assert check_disk(tmp_path, artifacts, free_bytes=100).level == "error"


def test_disk_space_is_known_before_the_home_folder_exists(tmp_path):
    assert check_disk(tmp_path / "new" / "home", tmp_path / "new" / "artifacts").level == "ok"


def test_keys_are_missed_where_others_can_reach_the_service(tmp_path):
    settings = Settings.load({}, home=tmp_path)
    assert check_keys(settings).level == "ok"
    assert check_keys(settings.model_copy(update={"host": "0.0.0.0"})).level == "warning"
    production = settings.model_copy(update={"environment": "production"})
    assert check_keys(production).level == "error"
    create_key(settings.keys, "shop", ["read"])
    assert check_keys(production).level == "ok"
    revoke_key(settings.keys, "shop")
    assert check_keys(production).level == "error"


def test_a_keys_file_that_others_may_write_is_a_warning(tmp_path):
    settings = Settings.load({}, home=tmp_path)
    create_key(settings.keys, "shop", ["read"])
    settings.keys.chmod(0o666)
    assert check_keys(settings).fix == f"chmod 600 {settings.keys}"


def test_everything_is_examined(deploy, tmp_path, redis_url):
    deploy()
    settings = Settings.load({}, home=tmp_path, index="cpu", redis_url=redis_url)
    found = levels(examine(settings, GOOD_THREADS))
    assert {"threads", "index", "redis version", "catalog default", "disk", "API keys"} <= set(
        found
    )
    assert "error" not in found.values()
