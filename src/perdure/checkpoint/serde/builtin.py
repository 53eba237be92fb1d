"""Standard types beyond msgpack's own: each as an extension code, taken apart and rebuilt.

A taking-apart function returns the code and either bytes, stored as they are, or data to be packed. A rebuilding
function gets the bytes and the function that unpacks data. The codes are part of the storage
format: never change or reuse one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC
from typing import Any

from perdure.checkpoint.serde.stored import StoredError, UnknownValue
from perdure.errors import SerializationError

Parts = tuple[int, Any]
Unpack = Callable[[bytes], Any]

OBJECT = 0
TUPLE = 1
SET = 2
FROZENSET = 3
BIGINT = 4
DATETIME = 5
DATETIME_IN_ZONE = 6
DATE = 7
TIME = 8
TIME_IN_ZONE = 9
TIMEDELTA = 10
TIMEZONE = 11
ZONEINFO = 12
DECIMAL = 13
UUID = 14
PATH = 15
PATTERN = 16
IP = 17
DEQUE = 18
COMPLEX = 19
BYTEARRAY = 20
NDARRAY = 21
NUMPY_SCALAR = 22
PAIRS = 23
SURROGATES = 24
RANGE = 25
SLICE = 26
ORDERED_DICT = 27
DEFAULT_DICT = 28
COUNTER = 29
EXCEPTION = 30
SEND = 31
FRACTION = 32
ELLIPSIS = 33
NAMESPACE = 34

TAKE_APART: dict[str, Callable[[Any], Parts]] = {}
REBUILD: dict[int, Callable[[bytes, Unpack], Any]] = {}


def _take(*names: str) -> Callable[[Callable[[Any], Parts]], Callable[[Any], Parts]]:
    def add(function: Callable[[Any], Parts]) -> Callable[[Any], Parts]:
        TAKE_APART.update(dict.fromkeys(names, function))
        return function

    return add


def _make(
    code: int,
) -> Callable[[Callable[[bytes, Unpack], Any]], Callable[[bytes, Unpack], Any]]:
    def add(function: Callable[[bytes, Unpack], Any]) -> Callable[[bytes, Unpack], Any]:
        REBUILD[code] = function
        return function

    return add


# -- collections


@_take("builtins:tuple")
def _(value: tuple[Any, ...]) -> Parts:
    return TUPLE, list(value)


@_make(TUPLE)
def _(data: bytes, unpack: Unpack) -> Any:
    return tuple(unpack(data))


def _in_order(value: Any) -> list[Any]:
    # Equal sets should give equal bytes, so that an unchanged value is seen as such.
    try:
        return sorted(value)
    except TypeError:
        return list(value)


@_take("builtins:set")
def _(value: set[Any]) -> Parts:
    return SET, _in_order(value)


@_make(SET)
def _(data: bytes, unpack: Unpack) -> Any:
    return set(unpack(data))


@_take("builtins:frozenset")
def _(value: frozenset[Any]) -> Parts:
    return FROZENSET, _in_order(value)


@_make(FROZENSET)
def _(data: bytes, unpack: Unpack) -> Any:
    return frozenset(unpack(data))


@_take("collections:deque")
def _(value: Any) -> Parts:
    return DEQUE, [value.maxlen, list(value)]


@_make(DEQUE)
def _(data: bytes, unpack: Unpack) -> Any:
    from collections import deque

    maxlen, items = unpack(data)
    return deque(items, maxlen)


def pairs_of(value: Any) -> list[list[Any]]:
    """Return a dict's items as lists, for keys that msgpack maps can't have here."""
    return [[k, v] for k, v in value.items()]


@_make(PAIRS)
def _(data: bytes, unpack: Unpack) -> Any:
    return dict(unpack(data))


@_take("collections:OrderedDict")
def _(value: Any) -> Parts:
    return ORDERED_DICT, pairs_of(value)


@_make(ORDERED_DICT)
def _(data: bytes, unpack: Unpack) -> Any:
    from collections import OrderedDict

    return OrderedDict(unpack(data))


@_take("collections:Counter")
def _(value: Any) -> Parts:
    return COUNTER, pairs_of(value)


@_make(COUNTER)
def _(data: bytes, unpack: Unpack) -> Any:
    from collections import Counter

    counter: Counter[Any] = Counter()
    dict.update(counter, unpack(data))
    return counter


_FACTORIES: dict[str, Any] = {c.__name__: c for c in (list, dict, set, int, float, str, tuple, bool, frozenset, bytes)}


@_take("collections:defaultdict")
def _(value: Any) -> Parts:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and _FACTORIES.get(name) is not factory:
        raise SerializationError(
            f"a defaultdict whose factory is {factory!r} can't be stored",
            hint="factories that can: " + ", ".join(_FACTORIES),
        )
    return DEFAULT_DICT, [name, pairs_of(value)]


@_make(DEFAULT_DICT)
def _(data: bytes, unpack: Unpack) -> Any:
    from collections import defaultdict

    name, pairs = unpack(data)
    return defaultdict(None if name is None else _FACTORIES[name], pairs)


@_take("types:SimpleNamespace")
def _(value: Any) -> Parts:
    return NAMESPACE, dict(value.__dict__)


@_make(NAMESPACE)
def _(data: bytes, unpack: Unpack) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(**unpack(data))


# -- numbers, texts, bytes


@_take("builtins:int")
def _(value: int) -> Parts:
    return BIGINT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


@_make(BIGINT)
def _(data: bytes, unpack: Unpack) -> Any:
    return int.from_bytes(data, "big", signed=True)


@_take("builtins:complex")
def _(value: complex) -> Parts:
    return COMPLEX, [value.real, value.imag]


@_make(COMPLEX)
def _(data: bytes, unpack: Unpack) -> Any:
    return complex(*unpack(data))


@_take("decimal:Decimal")
def _(value: Any) -> Parts:
    return DECIMAL, str(value).encode()


@_make(DECIMAL)
def _(data: bytes, unpack: Unpack) -> Any:
    from decimal import Decimal

    return Decimal(data.decode())


@_take("fractions:Fraction")
def _(value: Any) -> Parts:
    return FRACTION, [value.numerator, value.denominator]


@_make(FRACTION)
def _(data: bytes, unpack: Unpack) -> Any:
    from fractions import Fraction

    return Fraction(*unpack(data))


@_take("builtins:str")
def _(value: str) -> Parts:
    return SURROGATES, value.encode("utf-8", "surrogatepass")


@_make(SURROGATES)
def _(data: bytes, unpack: Unpack) -> Any:
    return data.decode("utf-8", "surrogatepass")


@_take("builtins:bytearray")
def _(value: bytearray) -> Parts:
    return BYTEARRAY, bytes(value)


@_make(BYTEARRAY)
def _(data: bytes, unpack: Unpack) -> Any:
    return bytearray(data)


@_take("builtins:range")
def _(value: range) -> Parts:
    return RANGE, [value.start, value.stop, value.step]


@_make(RANGE)
def _(data: bytes, unpack: Unpack) -> Any:
    return range(*unpack(data))


@_take("builtins:slice")
def _(value: slice) -> Parts:
    return SLICE, [value.start, value.stop, value.step]


@_make(SLICE)
def _(data: bytes, unpack: Unpack) -> Any:
    return slice(*unpack(data))


@_take("builtins:ellipsis")
def _(value: Any) -> Parts:
    return ELLIPSIS, b""


@_make(ELLIPSIS)
def _(data: bytes, unpack: Unpack) -> Any:
    return ...


# -- time


def _zone_parts(value: Any) -> tuple[bool, Any]:
    """Tell whether the zone must be stored beside the ISO text, and what to store.

    A fixed offset is in the text already. A zone of another library is kept as its offset at that time.
    """
    zone = value.tzinfo
    if zone is None:
        return False, None
    name = type_key(type(zone))
    if name == "zoneinfo:ZoneInfo":
        return True, zone
    if name == "datetime:timezone" and zone.tzname(None) not in _offset_names(zone):
        return True, zone
    return False, None


def _offset_names(zone: Any) -> tuple[str, ...]:
    from datetime import timezone

    return (timezone(zone.utcoffset(None)).tzname(None), "UTC")


@_take("datetime:datetime")
def _(value: Any) -> Parts:
    apart, zone = _zone_parts(value)
    if not apart and not value.fold:
        return DATETIME, value.isoformat().encode()
    return DATETIME_IN_ZONE, [_bare(value, apart), value.fold, zone]


def _bare(value: Any, apart: bool) -> str:
    return str((value.replace(tzinfo=None) if apart else value).isoformat())


@_make(DATETIME)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(data.decode())


@_make(DATETIME_IN_ZONE)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import datetime

    text, fold, zone = unpack(data)
    value = datetime.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=value.tzinfo if zone is None else zone)


@_take("datetime:time")
def _(value: Any) -> Parts:
    apart, zone = _zone_parts(value)
    if not apart and not value.fold:
        return TIME, value.isoformat().encode()
    return TIME_IN_ZONE, [_bare(value, apart), value.fold, zone]


@_make(TIME)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import time

    return time.fromisoformat(data.decode())


@_make(TIME_IN_ZONE)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import time

    text, fold, zone = unpack(data)
    value = time.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=value.tzinfo if zone is None else zone)


@_take("datetime:date")
def _(value: Any) -> Parts:
    return DATE, value.isoformat().encode()


@_make(DATE)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import date

    return date.fromisoformat(data.decode())


@_take("datetime:timedelta")
def _(value: Any) -> Parts:
    return TIMEDELTA, [value.days, value.seconds, value.microseconds]


@_make(TIMEDELTA)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import timedelta

    return timedelta(*unpack(data))


@_take("datetime:timezone")
def _(value: Any) -> Parts:
    offset = value.utcoffset(None)
    name = value.tzname(None)
    named = name if name not in _offset_names(value) else None
    return TIMEZONE, [offset.days, offset.seconds, offset.microseconds, named]


@_make(TIMEZONE)
def _(data: bytes, unpack: Unpack) -> Any:
    from datetime import timedelta, timezone

    *offset, name = unpack(data)
    delta = timedelta(*offset)
    if name is not None:
        return timezone(delta, name)
    return timezone(delta) if delta else UTC


@_take("zoneinfo:ZoneInfo")
def _(value: Any) -> Parts:
    if value.key is None:
        raise SerializationError("a ZoneInfo without a key can't be stored")
    return ZONEINFO, value.key.encode()


@_make(ZONEINFO)
def _(data: bytes, unpack: Unpack) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(data.decode())


# -- names of things


@_take("uuid:UUID")
def _(value: Any) -> Parts:
    return UUID, value.bytes


@_make(UUID)
def _(data: bytes, unpack: Unpack) -> Any:
    from uuid import UUID

    return UUID(bytes=data)


_PATHS = ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")


@_take(*(f"pathlib:{name}" for name in _PATHS), *(f"pathlib._local:{name}" for name in _PATHS))
def _(value: Any) -> Parts:
    return PATH, [_PATHS.index(type(value).__name__), str(value)]


@_make(PATH)
def _(data: bytes, unpack: Unpack) -> Any:
    import os
    import pathlib

    kind, text = unpack(data)
    # A concrete path of the other system's kind can't be made here: its pure form can.
    here = 3 if os.name == "nt" else 2
    name = _PATHS[kind if kind < 2 or kind == here else kind - 2]
    return getattr(pathlib, name)(text)


@_take("re:Pattern")
def _(value: Any) -> Parts:
    return PATTERN, [value.pattern, value.flags]


@_make(PATTERN)
def _(data: bytes, unpack: Unpack) -> Any:
    import re

    pattern, flags = unpack(data)
    return re.compile(pattern, flags)


_IPS = tuple(f"IPv{v}{kind}" for v in (4, 6) for kind in ("Address", "Interface", "Network"))


@_take(*(f"ipaddress:{name}" for name in _IPS))
def _(value: Any) -> Parts:
    return IP, [_IPS.index(type(value).__name__), str(value)]


@_make(IP)
def _(data: bytes, unpack: Unpack) -> Any:
    import ipaddress

    kind, text = unpack(data)
    return getattr(ipaddress, _IPS[kind])(text)


# -- numpy


def take_array_apart(value: Any) -> Parts:
    """Take a numpy array apart: dtype, shape, order, and its memory."""
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return NDARRAY, [_dtype(value.dtype), list(value.shape), order, value.tobytes(order)]


def take_scalar_apart(value: Any) -> Parts:
    """Take a numpy scalar apart: dtype and its memory."""
    return NUMPY_SCALAR, [_dtype(value.dtype), value.tobytes()]


def _dtype(dtype: Any) -> Any:
    if dtype.hasobject:
        raise SerializationError(
            "a numpy array of Python objects can't be stored",
            hint="turn it into a list (`.tolist()`), or give it a plain dtype",
        )
    return dtype.descr if dtype.fields else dtype.str


def _made_dtype(described: Any) -> Any:
    import numpy as np

    dtype = np.dtype(described)
    if dtype.hasobject:
        raise SerializationError("stored numpy data claims to hold Python objects")
    return dtype


@_make(NDARRAY)
def _(data: bytes, unpack: Unpack) -> Any:
    import numpy as np

    described, shape, order, memory = unpack(data)
    flat = np.frombuffer(bytearray(memory), dtype=_made_dtype(described))
    return flat.reshape(shape, order="F" if order == "F" else "C")


@_make(NUMPY_SCALAR)
def _(data: bytes, unpack: Unpack) -> Any:
    import numpy as np

    described, memory = unpack(data)
    return np.frombuffer(memory, dtype=_made_dtype(described))[0]


# -- perdure's own, and stand-ins


@_take("perdure.types:Send")
def _(value: Any) -> Parts:
    return SEND, [value.node, value.arg, value.timeout]


@_make(SEND)
def _(data: bytes, unpack: Unpack) -> Any:
    from perdure.types import Send

    node, arg, timeout = unpack(data)
    return Send(node, arg, timeout=timeout)


@_make(EXCEPTION)
def _(data: bytes, unpack: Unpack) -> Any:
    name, message, args = unpack(data)
    return StoredError(name, message, tuple(args))


@_take(f"{StoredError.__module__}:StoredError")
def _(value: StoredError) -> Parts:
    return EXCEPTION, [value.type_name, value.message, list(value.args)]


@_take(f"{UnknownValue.__module__}:UnknownValue")
def _(value: UnknownValue) -> Parts:
    return OBJECT, [value.type_name, value.data]


def type_key(cls: type) -> str:
    """Return the key of a class in the tables here."""
    return f"{cls.__module__}:{cls.__qualname__}"


def is_really(cls: type, key: str) -> bool:
    """Tell whether the class is the standard one of that name, and not one that borrowed the name."""
    module, _, name = key.partition(":")
    if key == "builtins:ellipsis":
        return cls is type(...)
    return getattr(sys.modules.get(module), name, None) is cls
