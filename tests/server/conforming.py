"""Holds answers against the description of the API: those that any client of the tests gets."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from perdure.server.app import endpoints_of
from perdure.server.config_file import HttpSpec
from perdure.server.openapi import describe


@cache
def described() -> tuple[list[tuple[re.Pattern[str], str, str]], dict[str, Any]]:
    """The paths as patterns, those with fewer parameters first; and the whole description."""
    description = describe(endpoints_of(HttpSpec()))
    places = []
    for path, operations in description["paths"].items():
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        places += [(pattern, method.upper(), path) for method in operations]
    return sorted(places, key=lambda one: one[2].count("{")), description


@cache
def validator(method: str, path: str, status: str, media: str) -> Any:
    _, description = described()
    form = description["paths"][path][method.lower()]["responses"][status]["content"][media]["schema"]
    return jsonschema_rs.validator_for({**form, "components": description["components"]})


def check(response: httpx.Response) -> None:
    """Fail if a route answers otherwise than it is described."""
    places, description = described()
    asked, status = response.request, str(response.status_code)
    fitting = (p for pattern, method, p in places if method == asked.method and pattern.fullmatch(asked.url.path))
    path = next(fitting, None)
    if path is None or status == "500" or (status == "404" and response.text == "Not Found"):
        return  # an application of a test's own; what a test breaks; what a configuration leaves out
    told = description["paths"][path][asked.method.lower()]["responses"]
    assert status in told, f"{asked.method} {path} answers {status}, which isn't described: {response.text}"
    media = response.headers.get("content-type", "").partition(";")[0]
    forms = told[status].get("content", {})
    assert (media in forms) or (not forms and not response.content), f"{asked.method} {path}: {status} with {media!r}"
    if media == "application/json":
        validator(asked.method, path, status, media).validate(response.json())
