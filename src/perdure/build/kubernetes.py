"""Manifests for Kubernetes. They have one source, the Helm chart of this package; Helm's own renderer makes them of it.

The renderer is the `helm` of this machine, or `helm-python-sdk`, which is the same code as a library.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from perdure.build.errors import BuildError, explained

CHART: Final = Path(__file__).with_name("chart")
INSTALL: Final = "install helm, or pip install 'perdure[k8s]'; `perdure k8s --chart DIR` needs neither"


class Release(NamedTuple):
    """A chart's use.

    Attributes:
        name: The release's name.
        namespace: Where it goes.
        values: What is known of it; what follows counts more.
        files: Files of values.
        sets: Values as Helm's `--set` takes them: `a.b=c`.
    """

    name: str
    namespace: str
    values: Mapping[str, Any]
    files: Sequence[Path] = ()
    sets: Sequence[str] = ()


def write_chart(folder: Path) -> None:
    """Write the chart into a new folder.

    Raises:
        BuildError: There is something in that place, or it can't be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BuildError(f"{folder} is there already, and isn't empty", hint="name another folder")
    with explained(folder):
        shutil.copytree(CHART, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def render(release: Release) -> str:
    """Return the manifests, as YAML.

    Raises:
        BuildError: There is no renderer, or the chart refuses the values.
    """
    for file in release.files:
        if not file.is_file():
            raise BuildError(f"there is no file {file}", hint="--values names a file of the chart's values")
    if (program := shutil.which("helm")) is not None:
        return _by_helm(program, release)
    try:
        import helm_python
    except ModuleNotFoundError as missing:
        raise BuildError("there is nothing here that renders charts", hint=INSTALL) from missing
    return _by_library(helm_python, release)


def _by_helm(program: str, release: Release) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as known:  # JSON is YAML
        json.dump(dict(release.values), known)
        known.flush()
        command = [program, "template", release.name, str(CHART), "--namespace", release.namespace, "-f", known.name]
        command += [word for file in release.files for word in ("-f", str(file))]
        command += [word for each in release.sets for word in ("--set", each)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BuildError(
            f"helm: {done.stderr.strip()}", hint="`perdure k8s --chart DIR`: values.yaml says what there is"
        )
    return done.stdout


def _by_library(helm: Any, release: Release) -> str:
    try:
        values = dict(release.values)
        for file in release.files:
            values = _merged(values, helm.values_from_yaml(file.read_text(encoding="utf-8")))
        for each in release.sets:
            values = _merged(values, helm.parse_set_string(each))
        found: dict[str, str] = helm.Chart.load(str(CHART)).render(
            values, name=release.name, namespace=release.namespace
        )
    except helm.HelmError as e:
        raise BuildError(f"helm: {e}", hint="`perdure k8s --chart DIR`: values.yaml says what there is") from e
    told = []
    for name in sorted(found):
        text = found[name].strip().removeprefix("---").strip()
        if text and name.endswith(".yaml"):
            told.append(f"---\n# Source: {name}\n{text}\n")
    return "".join(told)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees of values; where both say something, the second counts."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
