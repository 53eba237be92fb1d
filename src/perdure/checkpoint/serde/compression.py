"""Compression of encoded values, where it pays.

Small values gain nothing, and large ones cost too much on the way of a superstep: this machine's rates for text are
6 us for 1 KB, 40 us for 16 KB, 300 us for 150 KB (zstd level 1).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from perdure.errors import CorruptCheckpointError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor, ZstdDecompressor

SMALLEST: Final = 512
LARGEST: Final = 16 * 1024
LARGEST_PIECE: Final = 4 * 1024 * 1024
"""Pieces are compressed after they were compared: long ones are rare, for they are whole or composed."""
_LEVEL = 1
_KEEP_BELOW = 7 / 8  # of the plain size: less gain isn't worth the decoding
MOST_DECODED: Final = 64 * 1024 * 1024
"""The largest size that stored bytes may unfold to; no value that large is ever compressed."""


class _PerThread(threading.local):
    # Neither object may be used by two threads at once.
    compressor: ZstdCompressor | None = None
    decompressor: ZstdDecompressor | None = None


_mine = _PerThread()


def compress(data: bytes, most: int = LARGEST) -> bytes | None:
    """Return the data compressed, None if that isn't worth it."""
    if not SMALLEST <= len(data) <= most:
        return None
    compressor = _mine.compressor
    if compressor is None:
        from zstandard import ZstdCompressor

        compressor = _mine.compressor = ZstdCompressor(level=_LEVEL)
    packed = compressor.compress(data)
    return packed if len(packed) < len(data) * _KEEP_BELOW else None


def decompress(data: bytes) -> bytes:
    """Return the plain bytes.

    Raises:
        CorruptCheckpointError: They are damaged, or would unfold to more than `MOST_DECODED`.
    """
    import zstandard

    decompressor = _mine.decompressor
    if decompressor is None:
        decompressor = _mine.decompressor = zstandard.ZstdDecompressor()
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= MOST_DECODED:
            msg = f"stored bytes claim to unfold to {size} bytes, more than {MOST_DECODED}"
            raise CorruptCheckpointError(msg)
        return decompressor.decompress(data, max_output_size=MOST_DECODED)
    except (zstandard.ZstdError, MemoryError) as e:
        raise CorruptCheckpointError(f"stored bytes can't be decompressed: {e}") from e
