"""Each channel's update rule, and that its checkpoint rebuilds it."""

import operator

import pytest

from perdure.channels import (
    AnyValue,
    BinaryOperatorAggregate,
    DeltaChannel,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    Topic,
    UntrackedValue,
)
from perdure.channels.base import MISSING, BaseChannel
from perdure.errors import EmptyChannelError, InvalidUpdateError
from perdure.types import Overwrite

ALL = [
    (LastValue(int), [1]),
    (AnyValue(int), [1, 2]),
    (EphemeralValue(int), [1]),
    (LastValueAfterFinish(int), [1]),
    (BinaryOperatorAggregate(list, operator.add), [[1], [2]]),
    (DeltaChannel(lambda state, updates: [*state, *updates], list), [1, 2]),
    (Topic(int), [1, [2, 3]]),
    (NamedBarrierValue(str, {"a", "b"}), ["a"]),
    (NamedBarrierValueAfterFinish(str, {"a", "b"}), ["a", "b"]),
]


@pytest.mark.parametrize(("channel", "updates"), ALL, ids=lambda v: type(v).__name__)
def test_a_checkpoint_rebuilds_the_channel(channel, updates):
    fresh = channel.from_checkpoint(MISSING)
    fresh.update(updates)
    again = channel.from_checkpoint(fresh.checkpoint())
    assert again.checkpoint() == fresh.checkpoint()
    assert again.is_available() == fresh.is_available()
    assert again.peek() == fresh.peek() or again.peek() is fresh.peek() is MISSING


@pytest.mark.parametrize(("channel", "updates"), ALL, ids=lambda v: type(v).__name__)
def test_a_copy_is_independent(channel, updates):
    first = channel.from_checkpoint(MISSING)
    copy = first.copy()
    before = copy.checkpoint()
    first.update(updates)
    assert copy.checkpoint() == before or copy.checkpoint() is before


def test_reading_before_the_first_write_names_the_channel():
    with pytest.raises(EmptyChannelError, match="'n' has no value"):
        LastValue(int, "n").get()


def test_last_value_takes_one_value_a_superstep():
    with pytest.raises(InvalidUpdateError, match=r"'n' got 2 values.*INVALID_CONCURRENT_GRAPH_UPDATE") as error:
        LastValue(int, "n").update([1, 2])
    assert "reducer" in error.value.hint


def test_overwrite_bypasses_the_reducer_and_the_others_of_its_superstep():
    channel = BinaryOperatorAggregate(list, operator.add, "items")
    channel.update([[1]])
    channel.update([[2], Overwrite([9]), [3]])
    assert channel.get() == [9]
    channel.update([{"__overwrite__": [7]}])
    assert channel.get() == [7]
    with pytest.raises(InvalidUpdateError, match="more than one Overwrite"):
        channel.update([Overwrite([1]), Overwrite([2])])


def test_ephemeral_value_lives_for_one_superstep():
    channel = EphemeralValue(int)
    assert channel.update([1])
    assert channel.get() == 1
    assert channel.update([])
    assert not channel.is_available()
    assert not channel.update([])


def test_topic_clears_unless_it_accumulates():
    passing, keeping = Topic(int), Topic(int, accumulate=True)
    for channel in (passing, keeping):
        channel.update([1, [2]])
        channel.update([])
    assert not passing.is_available()
    assert keeping.get() == [1, 2]


def test_untracked_value_is_never_stored():
    channel = UntrackedValue(int)
    channel.update([1])
    assert channel.get() == 1
    assert channel.checkpoint() is MISSING
    assert channel.copy().get() == 1


def test_barrier_opens_when_all_have_come_and_closes_when_consumed():
    channel = NamedBarrierValue(str, {"a", "b"}, "join")
    stored = channel.checkpoint()
    channel.update(["a"])
    assert stored == set(), "a stored set must not change afterwards"
    assert not channel.is_available()
    channel.update(["b"])
    assert channel.is_available()
    assert channel.consume()
    assert not channel.is_available()
    with pytest.raises(InvalidUpdateError, match="not for 'c'"):
        channel.update(["c"])


@pytest.mark.parametrize("channel", [LastValueAfterFinish(int), NamedBarrierValueAfterFinish(str, {"a"})])
def test_after_finish_channels_wait_for_the_end(channel: BaseChannel):
    channel.update(["a"])
    assert not channel.is_available()
    assert channel.finish()
    assert channel.is_available()
    assert not channel.finish()
    assert channel.consume()
    assert not channel.is_available()
