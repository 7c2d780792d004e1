import numpy as np
import pyarrow as pa
import pytest
import redis
from bridge import Bridge
from tiny_encoder import WORDS, write_encoder

from mutualrec.client import Client, InvalidRequest
from service.artifact import EncoderRef
from service.doctor.text_encoder import check_encoder
from service.encoding.encoder import TextEncoder
from service.errors import EncoderUnavailable
from service.events import item_bodies_key
from service.item_change import ItemChange
from service.settings import Settings


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path / "words")


@pytest.fixture
def draft(make_draft, folder):
    """Items 0 to 5 are lamps, the others sofas, in text and in what was learned."""
    texts = np.array([WORDS["lamp"]] * 6 + [WORDS["sofa"]] * 6, np.float32)
    items = np.repeat(np.eye(2, 4, dtype=np.float32), 6, axis=0)
    encoder = TextEncoder.load(folder)
    return make_draft(
        items=items,
        features={"text": texts, "image": texts[:, :2]},
        encoders={"text": EncoderRef(name="words", digest=encoder.digest, column="title")},
        item_metadata=pa.table({"title": ["lamp"] * 6 + ["sofa"] * 6, "price": [1.0] * 12}),
    )


@pytest.fixture
def client(start, deploy, draft, folder, redis_url):
    deploy(draft)
    return start(redis_url=redis_url, text_encoder=folder)


def put(client, item_id: str = "new", **state):
    return client.run(client.http.put(f"/items/{item_id}", json=state))


def refusal(response) -> str:
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["detail"]


def test_a_new_item_with_a_text_is_placed_among_those_that_read_alike(client):
    assert put(client, texts={"text": "a brass lamp"}).json()["recommendable"]
    answer = client.get("/similar/new?by=text&k=6").json()
    assert {item["item_id"] for item in answer["items"]} == {f"i{row}" for row in range(6)}
    assert {item["item_id"] for item in client.get("/similar/new?k=6").json()["items"]} == {
        f"i{row}" for row in range(6)
    }


def test_the_python_client_gives_texts_too(client):
    with Client("http://test", transport=Bridge(client)) as shop:
        assert shop.items.put("new", texts={"text": "brass lamp"}).recommendable
        assert shop.items.patch("new", texts={"text": "sofa"}).item_id == "new"
        with pytest.raises(InvalidRequest, match=r"texts\.text is empty"):
            shop.items.put("new", texts={"text": ""})


def test_its_vector_is_the_encoders_and_its_text_stands_in_the_column(client, folder, redis_url):
    answer = put(client, texts={"text": "brass lamp"}, metadata={"price": 3.0}).json()
    assert answer["metadata"] == {"title": "brass lamp", "price": 3.0}
    encoder = TextEncoder.load(folder)
    with redis.Redis.from_url(redis_url) as server:
        body = server.hget(item_bodies_key("default"), "new")
    kept = ItemChange.decoded("new", 1, body)
    np.testing.assert_allclose(kept.features["text"], encoder.encode("brass lamp"), atol=1e-6)
    assert kept.encoders == {"text": encoder.digest}


def test_a_value_given_for_the_column_stays(client):
    answer = put(client, texts={"text": "lamp"}, metadata={"title": "Lamp No. 7"}).json()
    assert answer["metadata"]["title"] == "Lamp No. 7"


def test_a_text_can_be_changed_and_replaced_by_a_vector(client, redis_url):
    put(client, texts={"text": "lamp"})
    client.run(client.http.patch("/items/new", json={"texts": {"text": "sofa"}}))
    answer = client.get("/similar/new?by=text&k=1").json()
    assert answer["items"][0]["item_id"] in {f"i{row}" for row in range(6, 12)}
    client.run(client.http.patch("/items/new", json={"features": {"text": [0, 0, 0, 1]}}))
    with redis.Redis.from_url(redis_url) as server:
        body = server.hget(item_bodies_key("default"), "new")
    assert ItemChange.decoded("new", 1, body).encoders == {}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"texts": {"text": " "}}, "texts.text is empty"),
        (
            {"texts": {"image": "lamp"}},
            "from an unknown encoder; send the vector as features.image",
        ),
        ({"texts": {"sound": "lamp"}}, "no vectors of 'sound', only of: text"),
        ({"texts": {"text": "lamp"}, "features": {"text": [1, 0, 0, 0]}}, "give one of them"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_the_fix(client, state, words):
    assert words in refusal(put(client, **state))


def test_without_an_encoder_the_setting_is_named(start, deploy, draft, redis_url):
    deploy(draft)
    detail = refusal(put(start(redis_url=redis_url), texts={"text": "lamp"}))
    assert "set MUTUALREC_TEXT_ENCODER to the folder of 'words'" in detail


def test_another_encoder_is_refused_because_vectors_could_not_be_compared(
    start, deploy, draft, tmp_path, redis_url
):
    deploy(draft)
    other = write_encoder(tmp_path / "other", scale=2.0)
    detail = refusal(put(start(redis_url=redis_url, text_encoder=other), texts={"text": "lamp"}))
    assert "are from the encoder 'words'" in detail
    assert "this service has 'other'" in detail


def test_a_vector_of_another_encoder_is_left_out_of_a_later_version(
    client, deploy, make_draft, draft
):
    put(client, texts={"text": "lamp"})
    newer = EncoderRef(name="newer", digest="0" * 64, column="title")
    deploy(make_draft(features={"text": draft.features["text"]}, encoders={"text": newer}))
    client.state.catalogs.refresh()
    assert client.get("/items/new").json()["recommendable"] is False


def told(tmp_path, folder=None) -> tuple[str, str]:
    settings = Settings.load({}, home=tmp_path, text_encoder=folder)
    finding = check_encoder(settings, ["default", "other"])
    return finding.level, f"{finding.says} {finding.fix}"


def test_the_doctor_compares_the_encoder_with_the_catalogs(deploy, draft, tmp_path, folder):
    assert told(tmp_path) == ("ok", "none, and no catalog's vectors are made of texts ")
    deploy(draft)
    level, words = told(tmp_path)
    assert (level, "default/text could take them" in words) == ("warning", True)
    assert told(tmp_path, folder) == ("ok", "words, 4 numbers per text ")
    level, words = told(tmp_path, write_encoder(tmp_path / "other", scale=2.0))
    assert (level, "default/text are from" in words) == ("warning", True)
    assert told(tmp_path, tmp_path)[0] == "error"


def test_a_folder_without_an_encoder_ends_the_start(start, tmp_path):
    with pytest.raises(EncoderUnavailable, match=r"needs model\.onnx"):
        start(text_encoder=tmp_path)
