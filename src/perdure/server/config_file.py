"""What the configuration file may say: one Struct a section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Minutes = Annotated[float, Meta(gt=0)]


class Section(Struct, forbid_unknown_fields=True, frozen=True):
    """A part of the file."""


class GraphSpec(Section, frozen=True):
    """Where a graph is, and what it does."""

    path: str
    description: str | None = None


class IndexSpec(Section, frozen=True):
    """How items of the store are made searchable by meaning."""

    dims: int
    embed: str
    fields: list[str] | None = None


class StoreTtl(Section, frozen=True):
    """How long items of the store live; times in minutes."""

    refresh_on_read: bool = True
    default_ttl: float | None = None
    sweep_interval_minutes: Minutes | None = None


class StoreSpec(Section, frozen=True):
    """The store that nodes are given, and that `/store` shows."""

    path: str | None = None
    index: IndexSpec | None = None
    ttl: StoreTtl | None = None


class ThreadTtl(Section, frozen=True):
    """How long threads live that don't say so themselves; times in minutes.

    Attributes:
        rules: Whether threads go too whose saver was told so, by `saver.keep(thread_id, ttl=...)`.
    """

    strategy: Literal["delete", "keep_latest"] = "delete"
    default_ttl: float | None = None
    sweep_interval_minutes: Minutes | None = None
    sweep_limit: Annotated[int, Meta(ge=1)] | None = None
    rules: bool = False


class SerdeSpec(Section, frozen=True):
    """Keys of langgraph.json that stored bytes of perdure have no use for, since they can't run code."""

    allowed_json_modules: list[list[str]] | bool | None = None
    allowed_msgpack_modules: list[list[str]] | bool | None = None
    pickle_fallback: bool = False


class CheckpointerSpec(Section, frozen=True):
    """Where threads are stored, if not in the server's database; how long they live."""

    path: str | None = None
    ttl: ThreadTtl | None = None
    serde: SerdeSpec | None = None


class AuthCache(Section, frozen=True):
    """How long what `authenticate` found is remembered, by the values of headers."""

    cache_keys: Annotated[list[str], Meta(min_length=1)]
    ttl_seconds: Annotated[float, Meta(gt=0)] = 60.0
    max_size: Annotated[int, Meta(ge=1)] = 1000


class AuthSpec(Section, frozen=True):
    """Where the `Auth` object is."""

    path: str | None = None
    disable_studio_auth: bool = True
    openapi: dict[str, Any] | None = None
    cache: AuthCache | None = None


class CorsSpec(Section, frozen=True):
    """Which pages of other origins may call the server."""

    allow_origins: list[str] = []
    allow_methods: tuple[str, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    allow_headers: tuple[str, ...] = ("*",)
    allow_credentials: bool = False
    allow_origin_regex: str | None = None
    expose_headers: tuple[str, ...] = ("Content-Location", "Location", "X-Pagination-Total", "X-Pagination-Next")
    max_age: int = 600


class Headers(Section, frozen=True):
    """Names of headers, with `*` for any part."""

    includes: list[str] = []
    excludes: list[str] = []


class HttpSpec(Section, frozen=True):
    """What the server serves besides and instead."""

    app: str | None = None
    cors: CorsSpec | None = None
    mount_prefix: str | None = None
    middleware_order: Literal["auth_first", "middleware_first"] = "middleware_first"
    enable_custom_route_auth: bool = False
    configurable_headers: Headers | None = None
    logging_headers: Headers | None = None
    disable_assistants: bool = False
    disable_threads: bool = False
    disable_runs: bool = False
    disable_store: bool = False
    disable_crons: bool = False
    disable_mcp: bool = False
    disable_a2a: bool = False
    disable_meta: bool = False
    disable_ui: bool = False
    disable_webhooks: bool = False


class WebhookUrls(Section, frozen=True):
    """Where webhooks may be sent."""

    require_https: bool = False
    allowed_domains: list[str] | None = None
    allowed_ports: list[int] | None = None
    max_url_length: int = 2048
    disable_loopback: bool = True


class WebhooksSpec(Section, frozen=True):
    """How webhooks are sent.

    Attributes:
        env_prefix: Variables of the environment that `headers` may name, as `${{ env.NAME }}`, begin so.
        secret: The name of a variable whose value signs the messages.
    """

    env_prefix: str = "LG_WEBHOOK_"
    headers: dict[str, str] = {}
    url: WebhookUrls = WebhookUrls()
    secret: str | None = None


class KeyLimits(Section, frozen=True):
    """Limits of the runs of a queue that have the same key.

    Attributes:
        key: `user`, or a place in the run's `metadata`, `configurable` or `context`: `metadata.customer`.
    """

    key: Annotated[str, Meta(pattern=r"^(user|(metadata|configurable|context)(\.[^.]+)+)$")]
    max_running: Annotated[int, Meta(ge=1)] | None = None
    rate: Annotated[float, Meta(gt=0)] | None = None
    burst: Annotated[int, Meta(ge=1)] = 1


class QueueSpec(Section, frozen=True):
    """A queue of runs.

    Attributes:
        graphs: Whose runs belong to it, unless they say otherwise.
        max_running: How many run at once, in all processes.
        rate: How many are begun a second.
        burst: How many may be begun at once, if none was for a while.
        per_key: Limits of the runs that have something in common.
    """

    graphs: list[str] = []
    max_running: Annotated[int, Meta(ge=1)] | None = None
    rate: Annotated[float, Meta(gt=0)] | None = None
    burst: Annotated[int, Meta(ge=1)] = 1
    per_key: KeyLimits | None = None


class RedisSpec(Section, frozen=True):
    """A Valkey or Redis that carries hints between processes, instead of the database.

    Attributes:
        uri: `redis://user:password@host:6379/0`; `REDIS_URI` says it without a password in a file.
        key_prefix: What names of channels there begin with: deployments that share it have different ones.
    """

    uri: str
    key_prefix: str = ""


class TelemetrySpec(Section, frozen=True):
    """That requests and runs are told to OpenTelemetry.

    Attributes:
        provider: Where a TracerProvider is, or a function that makes one; the program's by default.
        payloads: Whether what nodes are given and return is told.
    """

    provider: str | None = None
    payloads: bool = False


class UvSource(Section, frozen=True):
    """How the image is built, by `perdure build`."""

    kind: Literal["uv"]
    root: str = "."
    package: str | None = None


class ConfigFile(Section, frozen=True):
    """The whole file.

    Attributes:
        graphs: By name: `path/file.py:name` or `package.module:name`.
        dependencies: Folders that modules are imported from, and packages that the image gets.
        env: Variables by name, or the path of a file of them; what the environment has already stays.
    """

    graphs: dict[str, str | GraphSpec]
    dependencies: list[str] = []
    env: dict[str, str] | str = {}
    store: StoreSpec | None = None
    checkpointer: CheckpointerSpec | None = None
    auth: AuthSpec | None = None
    http: HttpSpec = HttpSpec()
    webhooks: WebhooksSpec = WebhooksSpec()
    queues: dict[str, QueueSpec] = {}
    telemetry: TelemetrySpec | None = None
    redis: RedisSpec | None = None
    # What follows is for building an image.
    python_version: str | None = None
    node_version: str | None = None
    api_version: str | None = None
    base_image: str | None = None
    image_distro: str | None = None
    pip_config_file: str | None = None
    pip_installer: Literal["auto", "pip", "uv"] | None = None
    source: UvSource | None = None
    dockerfile_lines: list[str] = []
    keep_pkg_tools: bool | list[str] | None = None
    ui: dict[str, str] | None = None
    ui_config: dict[str, Any] | None = None
    schema: str | None = msgspec.field(name="$schema", default=None)

    def graph_specs(self) -> dict[str, GraphSpec]:
        """Return the graphs by name, each in the long form."""
        return {
            name: spec if isinstance(spec, GraphSpec) else GraphSpec(path=spec) for name, spec in self.graphs.items()
        }
