"""The server's log: lines for people, or JSON for programs, with the ids of runs and threads in fields of their own."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Final

from perdure.server.encoding import encode_text

if TYPE_CHECKING:
    from perdure.server.settings import Settings

_IDS: Final = re.compile(r"\b(run|thread|assistant|cron) ([0-9a-f]{8}-[0-9a-f-]{27})")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        line |= {f"{kind}_id": found for kind, found in _IDS.findall(message)}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return encode_text(line)


class Lines(logging.Formatter):
    """A record as a line for people, its fields behind it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = getattr(record, "fields", None)
        return super().formatMessage(record) + (f" {encode_text(fields)}" if fields else "")


def configure(settings: Settings) -> None:
    """Send what perdure and uvicorn log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_json:
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(Lines("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    for name in ("perdure", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(settings.log_level.upper())
        logger.propagate = False
