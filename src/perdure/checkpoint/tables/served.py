"""What the savers on servers share: they are opened by a URL and closed with their driver."""

from __future__ import annotations

import asyncio
from typing import Any

from perdure.checkpoint.base import V
from perdure.checkpoint.tables.saver import TableSaver
from perdure.database.opening import Opened


class ServedSaver(Opened, TableSaver[V]):
    """A saver whose server a driver speaks to: it says `where`, and closes what it has opened itself."""

    _driver: Any

    def close(self) -> None:
        """Close the connections, after what is under way; those that the caller brought stay open."""
        if not self._closed:
            self._closed = True
            self._driver.close()

    async def aclose(self) -> None:
        """Async twin of `close`."""
        await asyncio.to_thread(self.close)

    def __del__(self) -> None:
        if self._owns and not self._closed:
            super().__del__()
            self._driver.abandon()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.where}>"
