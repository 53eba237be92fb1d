"""The bill of materials: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), what an image has in it."""

from __future__ import annotations

import importlib.metadata
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from perdure import __version__
from perdure.build.bases import Base
from perdure.build.blobs import encoded

_NAMES: Final = uuid.UUID("c0b2d2a7-6f3a-5f43-9a58-4f0f9b5f3a11")


def bill_of(name: str, version: str, base: Base, site: Path) -> bytes:
    """Return the bill as JSON; the same image has the same.

    Args:
        name: Of the application.
        version: Its version.
        base: What it stands on.
        site: The folder of its Python packages.
    """
    components = [
        {"type": "library", "name": each.name, "version": each.version, "purl": each.purl, "bom-ref": each.purl}
        for each in base.packages
    ]
    components += list(_python(site))
    if base.digest:
        shown = {"type": "container", "name": base.name, "version": base.digest, "bom-ref": f"base@{base.digest}"}
        components.append(shown)
    application = {"type": "application", "name": name, "version": version, "bom-ref": "application"}
    told: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": application,
            "tools": {"components": [{"type": "application", "name": "perdure", "version": __version__}]},
        },
        "components": sorted(components, key=lambda each: str(each["bom-ref"])),
        "dependencies": [
            {"ref": "application", "dependsOn": sorted(str(each["bom-ref"]) for each in components)},
        ],
    }
    told["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMES, encoded(told).decode())}"
    return encoded(told) + b"\n"


def _python(site: Path) -> Iterable[dict[str, Any]]:
    for found in importlib.metadata.distributions(path=[str(site)]):
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        purl = f"pkg:pypi/{name}@{found.version}"
        told: dict[str, Any] = {
            "type": "library",
            "name": name,
            "version": found.version,
            "purl": purl,
            "bom-ref": purl,
        }
        if "License-Expression" in found.metadata:
            told["licenses"] = [{"expression": found.metadata["License-Expression"]}]
        yield told
