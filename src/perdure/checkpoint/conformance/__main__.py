"""Examine a saver, and tell its level.

python -m perdure.checkpoint.conformance my_package.tests:make

`make(path)` opens the saver of what is kept in that folder, or under a name made of the path, in a server: the same
path is the same data, another one other data. If it takes `serde` too, encryption is examined.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from perdure.checkpoint.conformance.report import LEVELS, Group, Report, examine
from perdure.errors import UsageError


def main() -> int:
    """Return 0 if every case that applies passes, 1 if one fails, 2 if there is no such function."""
    parser = argparse.ArgumentParser(
        prog="python -m perdure.checkpoint.conformance",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("make", metavar="MODULE:FUNCTION", help="what opens the saver")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the report there too")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    try:
        report = examine(asked.make, _tell)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{report.saver}: level {report.level!r} ({' < '.join(LEVELS)})")
    if asked.json is not None:
        asked.json.write_text(json.dumps(_plain(report), indent=1))
    return int(report.has_failed)


def _tell(group: Group) -> None:
    count = group.passed + len(group.failed)
    state = "failed" if group.failed else "passed" if count else "not asked for"
    print(
        f"{group.name:12} {state:14} {f'{group.passed} of {count}' if count else '':12} {group.absent or ''}".rstrip()
    )
    for failed in group.failed:
        print(f"    {failed.case} ({failed.colour}): {failed.error}")


def _plain(report: Report) -> dict[str, object]:
    return {"saver": report.saver, "level": report.level, "groups": [asdict(group) for group in report.groups]}


if __name__ == "__main__":
    sys.exit(main())
