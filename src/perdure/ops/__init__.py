"""Operating stored state: move it, check it, save it, restore it; over the contract, so on any backend.

Each operation is a function here and a command of the same name; see docs/operations.md. They are synchronous: an async
program calls them in a thread.
"""

from perdure.checkpoint.diagnosis import Check, Verdict
from perdure.checkpoint.findings import Finding
from perdure.ops.backing import Backup, backup
from perdure.ops.comparing import Difference
from perdure.ops.diagnosing import doctor
from perdure.ops.erasing import Erasure, erase
from perdure.ops.measuring import Stats, stats
from perdure.ops.migrating import Migration, migrate
from perdure.ops.opening import Database
from perdure.ops.probing import Latency, Probe, probe
from perdure.ops.progress import Tally
from perdure.ops.pruning import Pruning, prune, sweep
from perdure.ops.rekeying import Rekeying, rekey
from perdure.ops.restoring import restore
from perdure.ops.selecting import Selection
from perdure.ops.shelving import shelve, tidy
from perdure.ops.verifying import Verification, repair, verify

__all__ = [
    "Backup",
    "Check",
    "Database",
    "Difference",
    "Erasure",
    "Finding",
    "Latency",
    "Migration",
    "Probe",
    "Pruning",
    "Rekeying",
    "Selection",
    "Stats",
    "Tally",
    "Verdict",
    "Verification",
    "backup",
    "doctor",
    "erase",
    "migrate",
    "probe",
    "prune",
    "rekey",
    "repair",
    "restore",
    "shelve",
    "stats",
    "sweep",
    "tidy",
    "verify",
]
