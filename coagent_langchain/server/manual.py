"""The page about the API: the OpenAPI document arranged for reading."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import orjson
from markupsafe import Markup, escape

from coagent_langchain.server.presentation.jsonview import pretty

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table: a field, a parameter or a response."""

    name: str
    type: Markup
    description: Markup
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path; `curl` is a command that can be run as it is."""

    method: str
    path: str
    summary: str
    description: Markup
    parameters: list[Line]
    body: Markup
    answers: list[Line]
    curl: str


@dataclass(frozen=True, slots=True)
class Kind:
    """An event type: its fields, beyond those of every entry, and an example."""

    name: str
    meaning: Markup
    fields: list[Line]
    example: str


@dataclass(frozen=True, slots=True)
class Component:
    """An object with its fields."""

    name: str
    description: Markup
    fields: list[Line]


def operations(document: Schema, base_url: str, *, token: bool) -> list[Operation]:
    """Every method of every path.

    Parameters:
        base_url: the API's address, for the commands.
        token: whether the commands send a token.
    """
    return [
        Operation(
            method=method.upper(),
            path=path,
            summary=given["summary"],
            description=_prose(given.get("description", "")),
            parameters=[
                Line(each["name"], Markup("{}, in the {}").format(_type(each["schema"]), each["in"]),
                     _prose(each.get("description", "")), each.get("required", False))
                for each in given.get("parameters", ())
            ],
            body=_content(given.get("requestBody", {})),
            answers=[Line(status, _content(each), _prose(each["description"]))
                     for status, each in given["responses"].items()],
            curl=_curl(method, base_url + path, given, token=token),
        )
        for path, methods in document["paths"].items()
        for method, given in methods.items()
    ]  # fmt: skip


def kinds(document: Schema) -> list[Kind]:
    """Every event type; objects are replaced by their fields."""
    schemas = document["components"]["schemas"]
    optional = {name: _own(name, given, schemas) for name, given in schemas["LogEntry"]["properties"].items()
                if name not in schemas["LogEntry"]["required"]}  # fmt: skip
    examples = document["paths"]["/logs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    return [
        Kind(
            name,
            _prose(each["summary"]),
            [line for field in each["value"] for line in optional.get(field, ())],
            pretty(each["value"]),
        )
        for name, each in examples.items()
    ]


def _own(name: str, given: Schema, schemas: Schema) -> list[Line]:
    """A field, or, if it is an object, the fields of that object."""
    references = [each["$ref"] for each in given.get("anyOf", ()) if "$ref" in each]
    if not references:
        return [Line(name, _type(given), _prose(given.get("description", "")))]
    inner = _fields(schemas[references[0].rpartition("/")[2]])
    return [replace(line, name=f"{name}.{line.name}") for line in inner]


def components(document: Schema) -> list[Component]:
    """Every schema: first the objects, beginning with the entry, then the others."""
    return [
        Component(name, _prose(schema.get("description", "")), _fields(schema))
        for name, schema in document["components"]["schemas"].items()
        if "properties" in schema
    ] + [
        Component(name, Markup("{} {}").format(_prose(schema.get("description", "")), _type(schema)), [])
        for name, schema in document["components"]["schemas"].items()
        if "properties" not in schema
    ]


def _fields(schema: Schema) -> list[Line]:
    required = schema.get("required", ())
    return [
        Line(name, _type(given), _prose(given.get("description", "")), name in required)
        for name, given in schema["properties"].items()
    ]


def _content(part: Schema) -> Markup:
    """The type of a request body or a response."""
    return Markup("").join(_type(each["schema"]) for each in part.get("content", {}).values())


def _type(schema: Schema) -> Markup:
    """A schema in words, with links to other schemas; null as an alternative is left out."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return Markup(" or ").join(_type(each) for each in choices if each.get("type") != "null")
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(value) for value in schema["enum"])
    kind = schema.get("type", "any JSON")
    if kind == "array" and schema.get("items"):
        return Markup("array of {}").format(_type(schema["items"]))
    return escape(kind) + _limits(schema)


def _limits(schema: Schema) -> str:
    """The range of a number or the length of a string."""
    if "maximum" in schema:
        return f", {schema['minimum']:,} to {schema['maximum']:,}"
    if "maxLength" in schema:
        return f", {schema['minLength']} to {schema['maxLength']} characters"
    return ", not empty" if schema.get("minLength") else ""


def _prose(text: str) -> Markup:
    """A description with the text in backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _curl(method: str, url: str, given: Schema, *, token: bool) -> str:
    """A curl command that sends the examples of the document."""
    queries: list[str] = []
    for each in given.get("parameters", ()):
        if each["in"] == "path":
            url = url.replace(f"{{{each['name']}}}", quote(each["example"], safe=""))
        else:
            queries.append("--data-urlencode " + shlex.quote(f"{each['name']}={each['example']}"))
    lines = ["curl " + ("-G " if queries else "") + shlex.quote(url), *queries]
    if token:
        lines.append('-H "Authorization: Bearer $COAGENT_AUTH_TOKEN"')
    if method == "post":
        examples = given["requestBody"]["content"]["application/json"]["examples"]
        body = orjson.dumps(next(iter(examples.values()))["value"]).decode()
        lines += ["-H 'Content-Type: application/json'", "-d " + shlex.quote(body)]
    return " \\\n  ".join(lines)
