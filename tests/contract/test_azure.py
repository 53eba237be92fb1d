"""The saver on Azure's containers: the same room as S3's (see test_s3), another store."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import obstore
import pytest
from tests.race.graphs import THREAD, one, two_steps
from tests.race.test_one_thread import CALLERS, INPUTS, check
from tests.servers.azurite import Azurite
from tests.servers.proxy import Proxy

from perdure.checkpoint import conformance
from perdure.checkpoint.azure import AzureSaver
from perdure.checkpoint.azure.aio import AsyncAzureSaver
from perdure.checkpoint.conformance import Case
from perdure.checkpoint.conformance.case import checkpoint, id_of, place
from perdure.checkpoint.conformance.commits import step
from perdure.checkpoint.registry import open_saver
from perdure.database.azure.opening import CREDENTIALS, open_container
from perdure.database.objects import buckets
from perdure.database.objects.exchange import Patience, Put, ask, deletes, list_all
from perdure.errors import InvalidConfigError, StorageError

pytestmark = pytest.mark.timeout(400)  # the first one may install the server


@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract(case: Case, container: str) -> None:
    with AzureSaver.from_conn_string(container) as saver:
        assert case in conformance.cases_for(saver)
        conformance.run(case, saver, "async")


def test_two_savers_over_one_container(container: str) -> None:
    with open_saver(container) as one_saver, open_saver(container) as other_saver:
        graphs = [two_steps(one_saver), two_steps(other_saver)]
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda n: graphs[n % 2].invoke(one(INPUTS[n]), THREAD), range(CALLERS)))
        check(graphs[0], INPUTS)


@pytest.mark.parametrize("trigger", [b"if-none-match: *", b"if-match: "])
def test_a_lost_reply_is_recognised(azure_server: Azurite, container: str, trigger: bytes) -> None:
    with (
        Proxy(("127.0.0.1", azure_server.port)) as proxy,
        AzureSaver.from_conn_string(azure_server.url(proxy.address[1])) as saver,
    ):
        saver.setup()
        parent = None
        for n in range(3):
            commit = step(parent, n, expected_head=parent)
            assert commit.checkpoint is not None
            prepared = [saver.prepare(commit)]
            if n < 2:
                proxy.lose_reply_to(trigger)
            saver.commit(prepared)
            parent = commit.checkpoint["id"]
        assert proxy.struck == ["lost reply"]
        assert next(id_of(found.config) for found in saver.list(place())) == parent
        assert len(list(saver.list(place()))) == 3


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_many_objects_are_listed_by_pages_and_deleted(
    container: str, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that isn't there keeps none of the others; and what is listed begins behind the key that was asked for."""
    monkeypatch.setattr(buckets, "PAGE", 3)
    monkeypatch.setattr("perdure.database.objects.exchange.PAGE", 3)
    client = buckets.BucketClient(open_container(container), CREDENTIALS)

    def carry_out(exchange: Any) -> Any:
        return client.run(exchange) if colour == "sync" else asyncio.run(client.arun(exchange))

    keys = [f"d/{n}" for n in range(8)]
    carry_out(ask([Put(key, b"x", None) for key in keys], Patience(5)))
    assert [found.key for found in carry_out(list_all("d/", Patience(5)))] == keys
    assert [found.key for found in carry_out(list_all("d/", Patience(5), after="d/4"))] == keys[5:]
    none = [f"d/none-{n}" for n in range(256)]  # as many as one request takes
    carry_out(ask(deletes([*keys[:4], *none, *keys[4:]]), Patience(5)))
    assert carry_out(list_all("d/", Patience(5))) == []
    client.close()


def test_nothing_is_left_of_a_deleted_thread(container: str) -> None:
    with AzureSaver.from_conn_string(container) as saver:
        config = saver.put(place(), checkpoint({"x": "y" * 40_000}), {}, {"x": 1})
        saver.put(config, checkpoint({"x": "z" * 40_000}), {}, {"x": 2})
        saver.delete_thread("t")
        assert saver.sweep(timedelta(seconds=-2)) == 0
        assert "old versions" in saver.scrub().failed[0]
    left = [found["path"] for page in obstore.list(open_container(container)) for found in page]
    assert left == ["perdure"]


async def test_the_other_name(container: str) -> None:
    async with AsyncAzureSaver.from_conn_string(container) as saver:
        await saver.aput(place(), checkpoint({"x": 1}), {}, {"x": 1})
        assert [thread async for thread in saver.athreads()] == ["t"]


def test_what_is_wrong_is_said(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = AzureSaver.from_conn_string(container.replace("perdure-tests", "no-such-container"))
    with opening as saver, pytest.raises(StorageError, match="no such bucket"):
        saver.setup()
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"no key").decode())
    with AzureSaver.from_conn_string(container) as saver, pytest.raises(StorageError, match="AZURE_STORAGE") as caught:
        saver.setup()
    assert "AuthorizationFailure" in str(caught.value)


@pytest.mark.parametrize("url", ["azure:c", "azure://", "azure://me:secret@c/x", "azure://c?account_key=x", "s3://c"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidConfigError):
        AzureSaver.open(url)
