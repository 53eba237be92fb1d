"""Channels: the named values of a graph and the rules by which a superstep changes them."""

from perdure.channels.any_value import AnyValue
from perdure.channels.base import BaseChannel
from perdure.channels.binop import BinaryOperatorAggregate
from perdure.channels.delta import DeltaChannel
from perdure.channels.ephemeral_value import EphemeralValue
from perdure.channels.last_value import LastValue, LastValueAfterFinish
from perdure.channels.named_barrier_value import NamedBarrierValue, NamedBarrierValueAfterFinish
from perdure.channels.topic import Topic
from perdure.channels.untracked_value import UntrackedValue

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
