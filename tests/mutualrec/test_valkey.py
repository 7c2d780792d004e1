import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mutualrec.valkey import PrivateValkeyError, private_valkey

_OWNER = """
import sys, time
from pathlib import Path
from mutualrec.valkey import private_valkey
with private_valkey(Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def test_data_survives_a_stop_and_a_start(tmp_path):
    with private_valkey(tmp_path) as url, connect(url) as client:
        client.set("kept", "yes")
    with private_valkey(tmp_path) as url, connect(url) as client:
        assert client.get("kept") == b"yes"


def test_the_last_user_stops_the_server_on_exit(tmp_path):
    with private_valkey(tmp_path) as url:
        pass
    with connect(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_the_server_outlives_whoever_started_it_while_others_use_it(tmp_path):
    first, second = private_valkey(tmp_path), private_valkey(tmp_path)
    url = first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with connect(url) as client:
        assert client.ping()
        second.__exit__(None, None, None)
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_a_second_user_attaches_and_leaves_the_server_running(tmp_path):
    with private_valkey(tmp_path) as url, connect(url) as client:
        with private_valkey(tmp_path) as other:
            assert other == url
        assert client.ping()


def test_the_server_listens_on_no_tcp_port_and_never_evicts(tmp_path):
    with private_valkey(tmp_path) as url, connect(url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_a_long_folder_gets_a_short_socket(tmp_path):
    folder = tmp_path / ("x" * 120)
    with private_valkey(folder) as url, connect(url) as client:
        assert client.ping()
        assert len(url) < 107


def test_a_folder_with_odd_characters_works(tmp_path):
    with private_valkey(tmp_path / "a b%20?#é") as url, connect(url) as client:
        assert client.ping()


@pytest.mark.slow
def test_after_kill_9_of_the_owner_the_next_process_adopts_the_server_and_its_data(tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert owner.stdout is not None
    with owner.stdout, connect(owner.stdout.readline().strip()) as client:
        client.set("kept", "yes")
        server = client.info("server")["process_id"]
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        with private_valkey(tmp_path) as url, connect(url) as heir:
            assert heir.get("kept") == b"yes"
            assert heir.info("server")["process_id"] == server
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_a_server_that_cannot_start_is_an_error_with_its_log(tmp_path):
    (tmp_path / "appendonlydir").write_text("a file where the server needs a folder")
    with pytest.raises(PrivateValkeyError, match="appendonlydir"), private_valkey(tmp_path):
        pass
