"""The store that a server gives its graphs, by the configuration: in its database, or one of the user's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.registry import is_sqlite
from perdure.checkpoint.serde.keys import encrypted_if_keys_are_set
from perdure.server.graphs import load_object
from perdure.store import registry

if TYPE_CHECKING:
    from perdure.server.config_file import ConfigFile
    from perdure.server.settings import Settings


@asynccontextmanager
async def open_store(settings: Settings, config: ConfigFile, folder: Path) -> AsyncIterator[Any]:
    """Open the store for as long as the server runs.

    Raises:
        InvalidConfigError: What makes vectors, or the store, can't be imported.
    """
    spec = config.store
    if spec is not None and spec.path is not None:
        made: Any = load_object(spec.path, folder, "store.path")
        made = made() if callable(made) and not hasattr(made, "abatch") else made
        if hasattr(made, "__aenter__"):
            async with made as store:
                yield store
        else:
            yield made
        return
    options: dict[str, Any] = {"serde": encrypted_if_keys_are_set()}
    if spec is not None and spec.index is not None:
        embed: Any = spec.index.embed
        if ".py:" in embed:
            embed = load_object(embed, folder, "store.index.embed")
        options["index"] = {"dims": spec.index.dims, "embed": embed, "fields": spec.index.fields or ["$"]}
    if spec is not None and spec.ttl is not None:
        ttl = {"sweep_interval_minutes": spec.ttl.sweep_interval_minutes, "default_ttl": spec.ttl.default_ttl}
        options["ttl"] = {"refresh_on_read": spec.ttl.refresh_on_read, **ttl}
    store = _opened(settings.database, options)
    await store.asetup()
    if "ttl" in options:
        store.start_ttl_sweeper()
    try:
        yield store
    finally:
        await store.aclose()


def _opened(url: str, options: dict[str, Any]) -> Any:
    if not is_sqlite(url):
        options = {"pool_size": 4, **options}
    return registry.open_store(url, **options)
