"""The statements of the shared operations, answered on Redis."""

from perdure.checkpoint.redis.statements import checkpoints, leases, namespaces, pieces, reading, rules, writes
from perdure.checkpoint.redis.statements.answering import STATEMENTS
from perdure.checkpoint.redis.statements.leases import lease_command

__all__ = ["STATEMENTS", "checkpoints", "lease_command", "leases", "namespaces", "pieces", "reading", "rules", "writes"]
