"""The base of savers on Postgres, at the place where programs look for it: here it is the saver itself."""

from perdure.checkpoint.postgres import BasePostgresSaver

__all__ = ["BasePostgresSaver"]
