"""Templates with autoescaping, and the filters and globals that all of them can use."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from typing import Any

import jinja2
from starlette.responses import HTMLResponse

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.jsonview import pretty
from coagent_langchain.server.presentation.outcomes import BY_APPLICATION, BY_NODE, CUT_OFF, FROM_CACHE
from coagent_langchain.server.presentation.prompt_words import in_words
from coagent_langchain.texts import counted
from coagent_langchain.unended import NO_END

_ICONS = {
    "ok": ("completed", "ok", BY_NODE, BY_APPLICATION, FROM_CACHE),
    "error": ("failed", "error"),
    "open": ("running", "unfinished", NO_END),
    "cancelled": ("cancelled", "abandoned"),
    "idle": ("idle", "interrupted", "unanswered"),
    "recovered": ("recovered",),
    "human": ("waiting",),
    "warning": (CUT_OFF,),
}
STATUS_ICONS = {status: icon for icon, statuses in _ICONS.items() for status in statuses}

# name → source and path; read once, because an upgrade replaces the files of a server that is running
_TEMPLATES = {
    file.name: (file.read_text("utf-8"), str(file), None)
    for file in (importlib.resources.files("coagent_langchain.server") / "templates").iterdir()
    if file.name.endswith((".html", ".svg"))
}
_environment = jinja2.Environment(
    loader=jinja2.FunctionLoader(_TEMPLATES.get), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)  # fmt: skip
_FORMATS = ("visible", "preview", "duration", "count", "compact", "cost", "unpriced", "iso", "when",
            "leading", "session_path")  # fmt: skip
_environment.filters |= {name: getattr(formats, name) for name in _FORMATS}
_environment.filters |= {"in_words": in_words, "counted": counted, "pretty": pretty}
_environment.globals["status_icons"] = STATUS_ICONS
_environment.globals["ui"] = _environment.get_template("ui.html").module


def for_a_person(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser requests a page to display; scripts and other programs read JSON."""
    return method == "GET" and "text/html" in headers.get("accept", "")


def render(
    template: str, status: int = 200, headers: Mapping[str, str] | None = None, /, **context: Any
) -> HTMLResponse:
    """Render a template as a response: a page or a fragment."""
    return HTMLResponse(_environment.get_template(template).render(context), status, headers)
