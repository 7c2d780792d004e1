import json

import numpy as np
import pytest

from service.artifact import Block, BlockPart, load_artifact
from service.errors import ArtifactCorrupt

PARTS = (BlockPart("image", 1), BlockPart("text", 1), BlockPart("image", 1))
BLOCKS = [
    Block("gnnmr", "learned", 0, 3, 1.0, zscore=False, parts=PARTS),
    Block("itemcf", "learned", 3, 1, 1.0, zscore=False),
]


@pytest.fixture
def draft(make_draft):
    users, items = np.zeros((6, 4), np.float32), np.zeros((12, 4), np.float32)
    users[1] = [1.0, 2.0, 3.0, 1.0]
    items[5] = [2.0, -1.0, 1.0, 4.0]
    return make_draft(users=users, items=items, blocks=BLOCKS)


def test_a_member_that_keeps_modalities_apart_tells_what_each_added(start, deploy, draft):
    deploy(draft)
    answer = start().get("/recommend/u1?explain=true&k=12").json()
    [item] = [item for item in answer["items"] if item["item_id"] == "i5"]
    gnnmr, itemcf = item["score_parts"]
    # image 1 * 2 + 3 * 1, text 2 * -1: together 3, sizes 5 and 2.
    assert gnnmr["score"] == pytest.approx(3.0)
    assert gnnmr["modalities"] == [
        {"modality": "image", "score": pytest.approx(5.0), "share": pytest.approx(5 / 7)},
        {"modality": "text", "score": pytest.approx(-2.0), "share": pytest.approx(2 / 7)},
    ]
    assert "modalities" not in itemcf


def test_a_version_keeps_the_parts_of_its_blocks(tmp_path, publish, draft):
    version = publish(tmp_path, draft=draft)
    assert load_artifact(tmp_path, "default", version).blocks == tuple(BLOCKS)


def test_parts_that_do_not_fill_their_block_are_refused(tmp_path, publish, make_draft):
    wrong = Block("gnnmr", "learned", 0, 4, 1.0, zscore=False, parts=PARTS)
    with pytest.raises(ArtifactCorrupt, match="have 3 columns, the block 4"):
        publish(tmp_path, draft=make_draft(blocks=[wrong]))


def test_a_version_of_before_parts_were_recorded_is_still_read(tmp_path, publish, draft):
    version = publish(tmp_path, draft=draft)
    path = tmp_path / "default" / version / "manifest.json"
    manifest = json.loads(path.read_text())
    for block in manifest["blocks"]:
        del block["parts"]
    path.write_text(json.dumps(manifest | {"format_version": 3}))
    loaded = load_artifact(tmp_path, "default", version)
    assert [block.parts for block in loaded.blocks] == [(), ()]
