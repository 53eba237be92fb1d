"""The suite that every saver must pass; public, for savers of third parties.

With pytest, in a file of the saver's own tests:

```python
import pytest
from perdure.checkpoint import conformance


@pytest.mark.parametrize("colour", conformance.COLOURS)
@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_contract(case, colour):
    with MySaver() as saver:
        conformance.run(case, saver, colour)
```

Or all at once, with a report and a level: `python -m perdure.checkpoint.conformance my_package.tests:make`.

Each case needs an empty store. A case that needs what the saver doesn't declare (`leases`, `has_rules`, or
`prepare` and `commit` of its own) is not in `cases_for(saver)`.
"""

from __future__ import annotations

from perdure.checkpoint.conformance.case import COLOURS, Case, Failure
from perdure.checkpoint.conformance.running import cases, cases_for, run

__all__ = ["COLOURS", "Case", "Failure", "cases", "cases_for", "run"]
