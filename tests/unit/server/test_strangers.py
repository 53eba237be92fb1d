"""What strangers name: addresses that lead elsewhere, keys of queues, ids by a request's own key."""

import pytest

from perdure.server.config_file import KeyLimits, QueueSpec, WebhooksSpec
from perdure.server.encoding import number_in
from perdure.server.making import _ids
from perdure.server.queues import Queues
from perdure.server.webhooks import Policy


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b::a00:1",
     "10.0.0.1", "fe80::1", "169.254.169.254", "::", "0.0.0.0", "224.0.0.1", "2001:0:0:0:0:0:f5ff:fffe"],
)  # fmt: skip
def test_no_message_goes_into_the_servers_own_network(address):
    assert Policy(WebhooksSpec()).refused_address(address) is not None


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_messages_go_to_the_internet(address):
    assert Policy(WebhooksSpec()).refused_address(address) is None


def key_of(customer):
    queues = Queues({"q": QueueSpec(per_key=KeyLimits(key="metadata.customer", max_running=1))})
    return queues.key_of("q", {"customer": customer}, {"config": {"configurable": {}}}, None)


def test_a_queues_key_fits_into_an_index():
    assert key_of("acme") == "acme"
    assert key_of({"a": 1}) == '{"a":1}'
    long = [key_of(text) for text in ("x" * 10_000, "x" * 10_001, "a\0b", "\ud800" * 300)]
    assert len(set(long)) == 4
    assert all(len(key) == 71 and "\0" not in key for key in long)


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("\u00b2", None), ("9" * 19, None), ("-1", None), ("", None)])
def test_numbers(text, number):
    assert number_in(text) == number


def test_no_callers_key_is_anothers():
    asked = [
        ("|k", {"identity": "a"}, None), ("k", {"identity": "a|"}, None), ("k", {"identity": "a"}, None),
        ("k", None, None), ("k", {"identity": ""}, None),
        ("k", {"identity": "a"}, "t"), ("t|k", {"identity": "a"}, None),
    ]  # fmt: skip
    assert len({_ids(*one)[0] for one in asked}) == len(asked)
    assert _ids(*asked[0]) == _ids(*asked[0])
