"""The lease of a trainer, and that nobody publishes without it."""

import threading
from pathlib import Path

import pytest
import redis

from benchmarks.servers import cluster, running, sentinel, valkey_program
from service.artifact import current_version, enter, highest_fence, promote
from service.errors import LeaseHeld, TrainerFenced
from service.events import keys_of
from service.scheduling.keys import TrainingKeys
from service.scheduling.lease import acquire, holder_of, holding
from service.scheduling.recording import RunRecord
from service.scheduling.status import read_status
from service.store.connection import connect_blocking

KEYS = TrainingKeys("default")
LONG = {"ttl_s": 60.0, "used_token": 0}


@pytest.fixture
def client(redis_url: str):
    with connect_blocking(redis_url) as client:
        yield client


def expire(client: redis.Redis) -> None:
    """What time does to a lease that is not renewed."""
    client.delete(KEYS.lease)


def test_the_second_trainer_is_refused_and_told_who_has_the_lease(client):
    acquire(client, "default", **LONG, owner="gpu-1:4711:aa")
    with pytest.raises(LeaseHeld, match=r"retrained by gpu-1, process 4711 .*wait until"):
        acquire(client, "default", **LONG)


def test_catalogs_have_leases_of_their_own(client):
    acquire(client, "default", **LONG)
    assert acquire(client, "funds", **LONG).token == 1


def test_every_lease_has_a_higher_token_than_the_one_before(client):
    tokens = []
    for _ in range(3):
        with holding(client, "default", **LONG) as lease:
            tokens.append(lease.token)
    assert tokens == [1, 2, 3]
    assert holder_of(client, "default") is None


def test_a_server_that_lost_its_data_cannot_give_out_an_old_token(client):
    acquire(client, "default", **LONG)
    client.flushall()
    assert acquire(client, "default", ttl_s=60.0, used_token=7).token == 8


def test_acquiring_again_after_a_lost_reply_gives_the_same_lease(client):
    first = acquire(client, "default", **LONG, owner="host:1:aa")
    assert acquire(client, "default", **LONG, owner="host:1:aa").token == first.token


def test_a_lease_that_is_not_renewed_runs_out(client):
    acquire(client, "default", ttl_s=60.0, used_token=0)
    holder = holder_of(client, "default")
    assert holder is not None
    assert 50 < holder.left_s <= 60


def test_confirming_renews_the_lease(client):
    lease = acquire(client, "default", **LONG)
    client.pexpire(KEYS.lease, 100_000)
    lease.confirm()
    assert client.pttl(KEYS.lease) <= 60_000


def test_a_trainer_that_lost_its_lease_cannot_publish(client, publish, deploy, tmp_path: Path):
    root = tmp_path / "artifacts"
    before = deploy()
    late = acquire(client, "default", ttl_s=60.0, used_token=highest_fence(root, "default"))
    enter(root, "default", late.token)
    candidate = publish(root)
    expire(client)
    acquire(client, "default", ttl_s=60.0, used_token=highest_fence(root, "default"))
    with pytest.raises(TrainerFenced, match=r"went to .* run the retraining again"):
        promote(root, "default", candidate, fence=late.fence)
    assert current_version(root, "default") == before


def test_nor_can_it_after_the_other_one_has_finished(client, publish, deploy, tmp_path: Path):
    root = tmp_path / "artifacts"
    before = deploy()
    late = acquire(client, "default", **LONG)
    candidate = publish(root)
    expire(client)
    acquire(client, "default", **LONG).release()
    with pytest.raises(TrainerFenced, match="went to another one"):
        promote(root, "default", candidate, fence=late.fence)
    assert current_version(root, "default") == before


def test_a_lease_that_ran_out_while_nobody_wanted_it_is_still_good(client):
    lease = acquire(client, "default", **LONG)
    expire(client)
    lease.confirm()
    with pytest.raises(LeaseHeld):
        acquire(client, "default", **LONG)


def test_giving_back_a_lost_lease_does_not_take_it_from_the_new_owner(client):
    late = acquire(client, "default", **LONG)
    expire(client)
    acquire(client, "default", **LONG, owner="host:2:bb")
    late.release()
    holder = holder_of(client, "default")
    assert holder is not None
    assert holder.owner == "host:2:bb"


def test_the_renewal_notices_the_loss_while_the_trainer_works(client):
    lease = acquire(client, "default", ttl_s=0.5, used_token=0)
    lease.check()
    client.set(KEYS.lease, "2 host:2:bb")
    lease.renew_until(threading.Event())  # ends by itself: the lease is lost
    with pytest.raises(TrainerFenced):
        lease.check()


@pytest.mark.slow
def test_leases_are_kept_by_a_cluster_and_behind_sentinel(tmp_path: Path):
    program = valkey_program()
    with cluster(program, tmp_path / "nodes") as nodes:
        url = f"redis+cluster://127.0.0.1:{nodes[1].port}"
        with connect_blocking(url) as client, holding(client, "default", **LONG) as lease:
            lease.confirm()
            with pytest.raises(LeaseHeld):
                acquire(client, "default", **LONG)
            record = RunRecord(client, lease, lambda: 1_793_000_000_000)
            client.xadd(keys_of("default", 3).events, {"a": "b"})
            record.begin()
            record.end(10, "nothing new", None)
            status = read_status(client, "default")
            assert (status.run_state, status.learned) == ("finished", 1)
    with (
        running(program, tmp_path / "one") as master,
        sentinel(program, tmp_path / "sentinel", master) as port,
        connect_blocking(f"redis+sentinel://127.0.0.1:{port}/main") as client,
        holding(client, "default", **LONG) as lease,
    ):
        lease.confirm()
