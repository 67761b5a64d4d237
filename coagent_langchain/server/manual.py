"""What the page about the API writes: the parts of the OpenAPI document in words."""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from markupsafe import Markup, escape

Schema = dict[str, Any]


class Line(NamedTuple):
    """A line of a table: a field, a parameter or a response."""

    name: str
    type: Markup
    description: Markup
    required: bool = False


def operations(document: Schema) -> list[tuple[str, str, Schema]]:
    """Every method of every path, with its description."""
    return [(method, path, each) for path, methods in document["paths"].items() for method, each in methods.items()]


def parameters(operation: Schema) -> list[Line]:
    """The parameters of a request."""
    return [
        Line(each["name"], Markup("{}, in the {}").format(type_of(each["schema"]), each["in"]),
             prose(each.get("description", "")), each.get("required", False))
        for each in operation["parameters"]
    ]  # fmt: skip


def responses(operation: Schema) -> list[Line]:
    """The responses to a request."""
    return [Line(status, content(each), prose(each["description"])) for status, each in operation["responses"].items()]


def fields(schema: Schema) -> list[Line]:
    """The fields of an object."""
    required = schema.get("required", ())
    return [
        Line(name, type_of(given), prose(given.get("description", "")), name in required)
        for name, given in schema["properties"].items()
    ]


def fields_of(example: Schema, schemas: Schema) -> list[Line]:
    """The fields of an event type beyond those of every entry: each in its example, or, if an object, its fields."""
    entry = schemas["LogEntry"]
    own = [(name, entry["properties"][name]) for name in example if name not in entry["required"]]
    return [line for name, given in own for line in _inner(name, given, schemas)]


def _inner(name: str, given: Schema, schemas: Schema) -> list[Line]:
    references = [each["$ref"] for each in given.get("anyOf", ()) if "$ref" in each]
    if not references:
        return fields({"properties": {name: given}})
    inner = fields(schemas[references[0].rpartition("/")[2]])
    return [line._replace(name=f"{name}.{line.name}") for line in inner]


def content(part: Schema) -> Markup:
    """The type of a request body or a response."""
    return Markup("").join(type_of(each["schema"]) for each in part["content"].values())


def type_of(schema: Schema) -> Markup:
    """A schema in words, with links to other schemas; null as an alternative is left out."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return Markup(" or ").join(type_of(each) for each in choices if each.get("type") != "null")
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(value) for value in schema["enum"])
    kind = schema.get("type", "any JSON")
    if kind == "array" and schema.get("items"):
        return Markup("array of {}").format(type_of(schema["items"]))
    return escape(kind) + _limits(schema)


def _limits(schema: Schema) -> str:
    """The range of a number or the length of a string."""
    if "maximum" in schema:
        return f", {schema['minimum']:,} to {schema['maximum']:,}"
    if "maxLength" in schema:
        return f", {schema['minLength']} to {schema['maxLength']} characters"
    return ", not empty" if schema.get("minLength") else ""


def prose(text: str) -> Markup:
    """A description with the text in backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def curl(method: str, url: str, operation: Schema, *, token: bool) -> str:
    """A curl command that sends the examples of the document."""
    queries: list[str] = []
    for each in operation.get("parameters", ()):
        if each["in"] == "path":
            url = url.replace(f"{{{each['name']}}}", quote(each["example"], safe=""))
        else:
            queries.append("--data-urlencode " + shlex.quote(f"{each['name']}={each['example']}"))
    lines = ["curl " + ("-G " if queries else "") + shlex.quote(url), *queries]
    if token:
        lines.append('-H "Authorization: Bearer $COAGENT_AUTH_TOKEN"')
    if method == "post":
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        body = orjson.dumps(next(iter(examples.values()))["value"]).decode()
        lines += ["-H 'Content-Type: application/json'", "-d " + shlex.quote(body)]
    return " \\\n  ".join(lines)
