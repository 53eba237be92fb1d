"""Channels: the named values of a graph and the rules by which a superstep changes them."""

from perdure.channels.aggregates import BinaryOperatorAggregate, DeltaChannel, Topic
from perdure.channels.barriers import NamedBarrierValue, NamedBarrierValueAfterFinish
from perdure.channels.base import BaseChannel
from perdure.channels.values import (
    AnyValue,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    UntrackedValue,
)

__all__ = [
    "AnyValue",
    "BaseChannel",
    "BinaryOperatorAggregate",
    "DeltaChannel",
    "EphemeralValue",
    "LastValue",
    "LastValueAfterFinish",
    "NamedBarrierValue",
    "NamedBarrierValueAfterFinish",
    "Topic",
    "UntrackedValue",
]
