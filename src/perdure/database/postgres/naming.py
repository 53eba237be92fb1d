"""Names in statements: that of a schema is the only text that is ever put into one."""

from __future__ import annotations

from perdure.errors import InvalidConfigError


def prefix_of(schema: str | None) -> str:
    """Return what stands before a table's name: the only text that is ever put into a statement.

    Raises:
        InvalidConfigError: Postgres can't have a schema of that name.
    """
    if schema is None:
        return ""
    if not schema or "\x00" in schema or len(schema.encode()) > 63:
        raise InvalidConfigError(f"not the name of a Postgres schema: {schema!r}", hint="1 to 63 bytes")
    quoted = schema.replace('"', '""')
    return f'"{quoted}".'
