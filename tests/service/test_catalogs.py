import asyncio
import logging

import httpx
import pytest

from service.artifact import set_current
from service.catalogs import Catalogs
from service.errors import NotReady, UnknownCatalog
from service.item_change import ItemChange


@pytest.fixture
def swaps():
    return []


@pytest.fixture
def catalogs(tmp_path, swaps):
    def note(catalog, old, new):
        swaps.append((catalog, old and old.version, new.version))

    return Catalogs(tmp_path / "artifacts", "default", "cpu", note)


def test_refresh_follows_current_forward_and_back(catalogs, swaps, deploy, tmp_path):
    first = deploy()
    catalogs.refresh()
    second = deploy()
    catalogs.refresh()
    set_current(tmp_path / "artifacts", "default", first)
    catalogs.refresh()
    catalogs.refresh()
    assert swaps == [
        ("default", None, first),
        ("default", first, second),
        ("default", second, first),
    ]


def test_a_catalog_published_later_is_found(catalogs, deploy):
    catalogs.refresh()
    with pytest.raises(UnknownCatalog, match="default"):
        catalogs.snapshot("funds")
    version = deploy(None, "funds")
    catalogs.refresh()
    assert catalogs.snapshot("funds")[1].version == version


def test_a_known_catalog_without_a_version_is_not_ready(catalogs):
    with pytest.raises(NotReady, match="mutualrec publish"):
        catalogs.snapshot(None)


def test_a_corrupt_version_is_logged_once_and_the_old_one_keeps_serving(
    catalogs, deploy, tmp_path, caplog
):
    first = deploy()
    catalogs.refresh()
    second = deploy()
    (tmp_path / "artifacts/default" / second / "ids.parquet").write_bytes(b"broken")
    with caplog.at_level(logging.ERROR):
        catalogs.refresh()
        catalogs.refresh()
    assert catalogs.snapshot(None)[1].version == first
    # Swaps are logged as well where a service started in this process has set the level.
    refusals = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(refusals) == 1
    assert second in refusals[0]


@pytest.mark.parametrize("name", ["embeddings.safetensors", "seen.safetensors"])
def test_a_version_with_one_changed_byte_is_never_swapped_in(catalogs, deploy, tmp_path, name):
    first = deploy()
    catalogs.refresh()
    damaged = tmp_path / "artifacts/default" / deploy() / name
    content = damaged.read_bytes()
    # The last byte belongs to a tensor: size, header, shapes stay right, only the checksum knows.
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    catalogs.refresh()
    assert catalogs.snapshot(None)[1].version == first


@pytest.mark.parametrize("name", ["CURRENT", "{version}/manifest.json"])
def test_bytes_that_are_no_text_are_refused_as_any_damage(catalogs, deploy, tmp_path, name):
    first = deploy()
    catalogs.refresh()
    version = deploy()
    (tmp_path / "artifacts/default" / name.format(version=version)).write_bytes(b"\xff\xfe")
    catalogs.refresh()
    assert catalogs.snapshot(None)[1].version == first


def test_a_good_version_after_a_corrupt_one_is_taken(catalogs, deploy, tmp_path):
    (tmp_path / "artifacts/default" / deploy() / "ids.parquet").write_bytes(b"broken")
    catalogs.refresh()
    good = deploy()
    catalogs.refresh()
    assert catalogs.snapshot(None)[1].version == good


def test_a_current_that_names_nothing_leaves_the_old_version_serving(catalogs, deploy, tmp_path):
    version = deploy()
    catalogs.refresh()
    (tmp_path / "artifacts/default/CURRENT").write_text("20200101T000000000000Z-00000000")
    catalogs.refresh()
    assert catalogs.snapshot(None)[1].version == version


def test_an_empty_catalogue_is_refused(catalogs, deploy, make_draft):
    deploy(
        make_draft(
            num_items=0,
            seen_indices=make_draft().seen_indices[:0],
            seen_indptr=make_draft().seen_indptr * 0,
        )
    )
    catalogs.refresh()
    with pytest.raises(NotReady):
        catalogs.snapshot(None)


def test_event_types_with_an_unknown_sign_are_refused(catalogs, deploy, make_draft):
    deploy(make_draft(recipe={"event_types": {"view": {"sign": "maybe"}}}))
    catalogs.refresh()
    with pytest.raises(NotReady):
        catalogs.snapshot(None)


def test_no_request_fails_or_mixes_versions_while_current_flips(
    start, deploy, make_draft, tmp_path, redis_url
):
    # Item ids name their version, so one answer with two kinds of ids would show a mixture.
    versions = {}
    for mark in "ab":
        draft = make_draft(item_ids=[f"{mark}{row}" for row in range(12)], seed=ord(mark))
        versions[deploy(draft)] = mark
    client = start(redis_url=redis_url, poll_interval_s=0.01, redis_timeout_s=5.0)

    async def flip(stop: asyncio.Event) -> None:
        while not stop.is_set():
            for version in versions:
                set_current(tmp_path / "artifacts", "default", version)
                await asyncio.sleep(0.03)

    async def ask(number: int) -> list[httpx.Response]:
        return [await client.http.get(f"/recommend/u{number % 8}?k=5") for _ in range(40)]

    async def main() -> list[httpx.Response]:
        stop = asyncio.Event()
        flipping = asyncio.create_task(flip(stop))
        answers = await asyncio.gather(*(ask(number) for number in range(16)))
        stop.set()
        await flipping
        return [answer for group in answers for answer in group]

    answers = client.run(main())
    assert {answer.status_code for answer in answers} == {200}
    bodies = [answer.json() for answer in answers]
    assert {body["model_version"] for body in bodies} == set(versions)
    mixed = [
        body
        for body in bodies
        if {item["item_id"][0] for item in body["items"]} != {versions[body["model_version"]]}
    ]
    assert mixed == []


def test_a_version_is_prepared_before_it_is_served_and_changed_items_after(tmp_path, deploy):
    seen = []

    def note(snapshot):
        served = catalogs.snapshots.get("default")
        seen.append((snapshot.version, len(snapshot.hidden_rows), served is snapshot))

    catalogs = Catalogs(tmp_path / "artifacts", "default", "cpu", lambda *_: None, prepare=note)
    first = deploy()
    catalogs.refresh()
    hidden = ItemChange("i1", 1, hidden=True)
    catalogs.change_items("default", [hidden])
    second = deploy()
    catalogs.refresh()
    assert seen == [(first, 0, False), (first, 1, True), (second, 1, False)]
