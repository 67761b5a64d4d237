"""Where a node or tool sends its graph next: the `routing` events of commands."""

from __future__ import annotations

from typing import Any

from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.run import Run
from coagent_langchain.values.commands import is_command, target_of
from coagent_langchain.wire import EventType, JsonObject


def log_routing(recorder: Recorder, run: Run, outputs: Any) -> None:
    """Log where a node or tool sends its graph next, if its output says so."""
    if type(outputs) is dict:
        return  # nearly always
    for part in outputs if isinstance(outputs, list) else [outputs]:
        if is_command(part) and part.goto and part.graph is None:
            recorder.emit_together(routing_entries(recorder, run, part))


def routing_entries(recorder: Recorder, run: Run, command: Any) -> list[JsonObject]:
    """One `routing` for each target, or one without a target: such a command follows the graph's edges."""
    target = target_of(command)
    entries = []
    for name in target["goto"] or [None]:
        entry = recorder.entry(run, EventType.ROUTING, {"source_component": run.name, **target})
        entry["routing_type"] = "transfer"
        if name is not None:  # it has no run yet, so its name is the id
            entry["target_component"] = {"id": name, "name": name, "component_type": "node"}
        entries.append(entry)
    return entries
