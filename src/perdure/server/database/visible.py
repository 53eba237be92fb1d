"""What nobody may do by a change: put a row out of their own sight, and so perhaps into somebody else's."""

from __future__ import annotations

from perdure.database.operation import Op
from perdure.server.database import Statements
from perdure.server.errors import ForbiddenError


def check_visible(sql: Statements, metadata: str, filters: str | None) -> Op[None]:
    """Check that who makes a change would see what it makes.

    Raises:
        ForbiddenError: They wouldn't.
    """
    if filters is None:
        return
    [rows] = yield [(sql["still_visible"], (metadata, filters))]
    if not rows:
        raise ForbiddenError("by this change of metadata you wouldn't see it any more")
