import pytest
import redis

from benchmarks.servers import cluster, running, sentinel, valkey_program
from service.doctor.servers import check_servers

pytestmark = pytest.mark.slow


def found(url: str):
    return {one.check: one for one in check_servers(url, ["default"], timeout_s=5.0)}


def test_every_node_of_a_cluster_is_looked_at_and_the_events_of_all_are_counted(tmp_path):
    with cluster(valkey_program(), tmp_path) as nodes:
        findings = found(f"redis+cluster://127.0.0.1:{nodes[0].port}")
    for node in nodes:
        assert findings[f"redis version 127.0.0.1:{node.port}"].level == "ok"
        # They run without an append-only file.
        assert findings[f"redis persistence 127.0.0.1:{node.port}"].level == "error"
    assert findings["event backlog"].says.startswith("0 events")
    assert findings["redis cluster"].level == "warning"
    assert "3 masters have 0 replicas" in findings["redis cluster"].says


def test_a_cluster_without_all_of_its_slots_is_an_error(tmp_path):
    with cluster(valkey_program(), tmp_path) as nodes:
        with redis.Redis(port=nodes[0].port) as client:
            client.execute_command("CONFIG", "SET", "cluster-require-full-coverage", "no")
            client.execute_command("CLUSTER", "DELSLOTS", 1)
        [finding] = found(f"redis+cluster://127.0.0.1:{nodes[0].port}").values()
    assert (finding.level, "16383 of 16384 covered" in finding.says) == ("error", True)


def test_a_node_that_is_down_is_named(tmp_path):
    with cluster(valkey_program(), tmp_path) as nodes:
        nodes[2].kill()
        findings = found(f"redis+cluster://127.0.0.1:{nodes[0].port}")
    down = findings[f"redis 127.0.0.1:{nodes[2].port}"]
    assert (down.level, "does not answer" in down.says) == ("error", True)
    assert findings[f"redis version 127.0.0.1:{nodes[0].port}"].level == "ok"


def test_a_master_behind_sentinel_without_replicas_is_a_warning(tmp_path):
    with (
        running(valkey_program(), tmp_path / "master") as master,
        sentinel(valkey_program(), tmp_path / "sentinel", master) as port,
    ):
        findings = found(f"redis+sentinel://127.0.0.1:{port}/main")
    assert findings["redis version"].level == "ok"
    assert findings["redis persistence"].level == "ok"
    assert findings["redis sentinel"].level == "warning"
    assert "no replica" in findings["redis sentinel"].says


def test_a_master_whose_replica_may_lag_is_a_warning_until_it_may_not(tmp_path):
    with (
        running(valkey_program(), tmp_path / "master") as master,
        running(
            valkey_program(), tmp_path / "replica", replicaof=f"127.0.0.1 {master.port}"
        ) as replica,
        sentinel(valkey_program(), tmp_path / "sentinel", master) as port,
        redis.Redis(port=master.port) as client,
        redis.Redis(port=replica.port) as follower,
    ):
        client.set("a", 1)
        assert client.wait(1, 20_000) == 1
        url = f"redis+sentinel://127.0.0.1:{port}/main"
        before = found(url)["redis sentinel"]
        client.config_set("min-replicas-to-write", 1)
        after = found(url)["redis sentinel"]
        assert follower.role()[0] == b"slave"
    assert (before.level, "min-replicas-to-write" in before.fix) == ("warning", True)
    assert after.level == "ok"


@pytest.mark.parametrize(
    "url", ["redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/main"]
)
def test_servers_that_do_not_answer_are_one_error(url):
    findings = found(url)
    assert [one.level for one in findings.values()] == ["error"]
    assert "MUTUALREC_REDIS_URL" in findings["redis"].fix
