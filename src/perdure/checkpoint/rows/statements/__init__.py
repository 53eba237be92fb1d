"""The statements of the shared operations, answered from a view of rows."""

from perdure.checkpoint.rows.answering import STATEMENTS
from perdure.checkpoint.rows.statements import checkpoints, leases, namespaces, pieces, reading, rules, writes

__all__ = ["STATEMENTS", "checkpoints", "leases", "namespaces", "pieces", "reading", "rules", "writes"]
