"""What the service takes of items is what training reads."""

import numpy as np
import pytest
import redis

from training.data.item_states import ItemState, drain_items

ITEM_IDS = ["new lamp", "a/b\n", "i1"]


@pytest.fixture
def client(start, deploy, make_draft, redis_url):
    deploy(make_draft(features={"image": np.eye(12, 3, dtype=np.float32)}))
    return start(redis_url=redis_url)


def put(client, item_id: str, **state) -> None:
    path = "/items/" + "".join(f"%{byte:02X}" for byte in item_id.encode())
    response = client.run(client.http.put(path, json=state))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("item_id", ITEM_IDS)
def test_training_reads_what_was_put(client, redis_url, tmp_path, item_id):
    put(client, item_id, metadata={"title": "Lamp"}, features={"image": [1, 0.5, 0]})
    with redis.Redis.from_url(redis_url) as server:
        states = drain_items(server, "default", tmp_path / "log")
        assert states == [ItemState(item_id, {"title": "Lamp"}, {"image": [1.0, 0.5, 0.0]})]
        server.flushall()
        assert drain_items(server, "default", tmp_path / "log") == states


def test_a_newer_state_takes_the_place_of_an_older_one(client, redis_url, tmp_path):
    with redis.Redis.from_url(redis_url) as server:
        for title in ("Lamp", "Light"):
            put(client, "new", metadata={"title": title})
            [state] = drain_items(server, "default", tmp_path / "log")
            assert state.metadata == {"title": title}
        client.run(client.http.delete("/items/new"))
        assert drain_items(server, "default", tmp_path / "log") == []
        server.flushall()
        assert drain_items(server, "default", tmp_path / "log") == []
