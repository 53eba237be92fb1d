"""The error of a deployment."""

from __future__ import annotations

from perdure.errors import UsageError


class DeploymentError(UsageError):
    """A deployment can't be brought up, changed or stopped as it was asked for."""
