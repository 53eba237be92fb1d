"""The store through the SDK."""

import uuid

import pytest
from langgraph_sdk.errors import UnprocessableEntityError


async def test_items_are_kept_found_and_deleted(client):
    root = str(uuid.uuid4())
    await client.store.put_item([root, "a"], key="one", value={"n": 1, "kind": "x"})
    await client.store.put_item([root, "a"], key="two", value={"n": 2, "kind": "x"}, index=False, ttl=60)
    await client.store.put_item([root, "b"], key="one", value={"n": 3, "kind": "y"})
    found = await client.store.get_item([root, "a"], key="one")
    assert (found["namespace"], found["key"], found["value"]) == ([root, "a"], "one", {"n": 1, "kind": "x"})
    assert found["created_at"] == found["updated_at"]
    assert await client.store.get_item([root, "a"], key="none") is None
    items = (await client.store.search_items([root], filter={"kind": "x"}))["items"]
    assert {i["value"]["n"] for i in items} == {1, 2}
    items = (await client.store.search_items([root], filter={"n": {"$gte": 2}}, limit=1, offset=1))["items"]
    assert len(items) == 1
    names = await client.store.list_namespaces(prefix=[root])
    assert sorted(names["namespaces"]) == [[root, "a"], [root, "b"]]
    assert (await client.store.list_namespaces(prefix=[root], max_depth=1))["namespaces"] == [[root]]
    await client.store.delete_item([root, "a"], key="one")
    assert await client.store.get_item([root, "a"], key="one") is None


async def test_mistakes_are_named(client, http):
    answer = await http.put("/store/items", json={"namespace": ["a.b"], "key": "k", "value": {}})
    assert answer.status_code == 422
    with pytest.raises(UnprocessableEntityError):
        await client.store.put_item([], key="k", value={"a": 1})
    assert (await http.get("/store/items")).status_code == 422
