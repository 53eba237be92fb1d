"""A deployment on one machine: what should run, and what keeps it running, as plain processes or by Compose.

A deployment has a folder of its own. `deployment.json` there says what is wanted; `state.json` what the supervisor
has made of it. Only the supervisor writes the second, and it holds a lock on the folder for as long as it lives.
"""

from __future__ import annotations
