"""Fault tests are in a package of helpers, which they import by their place in the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
