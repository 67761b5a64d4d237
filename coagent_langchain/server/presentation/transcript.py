"""A session or a few entries as Markdown: to read, to keep, to give to an assistant."""

from __future__ import annotations

import re
from typing import Any

import orjson

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.entries import METADATA, message_of, placeholder
from coagent_langchain.server.presentation.event_summary import summarize
from coagent_langchain.server.presentation.formats import visible
from coagent_langchain.server.presentation.jsonview import pretty
from coagent_langchain.server.presentation.prompt_words import in_words
from coagent_langchain.server.presentation.sent import sent
from coagent_langchain.server.presentation.values import Value, mapping, text
from coagent_langchain.server.store.records import Session
from coagent_langchain.wire import ENVELOPE, JsonObject

FIELDS = ("llm_call", "llm_response", "tool_call", "tool_response", "error_info", "input_data", "output_data",
          "target_component", "test_result", "performance_metrics", "consensus_info")  # fmt: skip
_MARKS = re.compile(r"[\\`*\[<&]")  # without these, no link, image, HTML or emphasis begins
TEXTS = ("system_prompt", "response", "error_message", "stack_trace")  # each gets a block of its own


def opening(session: Session) -> str:
    """The heading and figures of a whole session."""
    figures = [
        ("Session", _plain(session.session_id)),
        ("Status", session.status),
        ("Started", formats.iso(session.first_ms)),
        ("Duration", formats.duration(session.duration_ms)),
        ("Prompts, turns", f"{session.prompts}, {session.turns}"),
        ("Model calls, tool calls", f"{session.llm_calls}, {session.tool_calls}"),
        *([("Tokens", formats.count(session.only_total))] if session.only_total is not None else []),
        ("Tokens in, out", f"{formats.count(session.input_tokens)}, {formats.count(session.output_tokens)}"),
        ("Cost", ", ".join(filter(None, [formats.cost(session.cost), formats.unpriced(session.unpriced_calls)]))),
        ("Errors", str(session.errors)),
    ]  # fmt: skip
    title = formats.preview(in_words(session.title) or session.session_id)
    return f"# {_plain(title)}\n\n" + "".join(f"- {name}: {value}\n" for name, value in figures)


def section(body: bytes) -> str:
    """One entry: heading, facts, then its texts as code blocks."""
    fields = orjson.loads(body)
    summary = summarize(0, fields)
    facts = [formats.iso(summary.at), f"prompt {summary.prompt}, turn {summary.turn}"]
    if summary.ms is not None:
        facts.append(formats.duration(summary.ms))
    if summary.input or summary.output:
        facts.append(f"{formats.count(summary.input)} → {formats.count(summary.output)} tokens")
    # the metadata that these come from is left out
    facts += filter(None, map(_plain, (summary.outcome, placeholder(fields))))
    made = [f"\n## {visible(summary.type)} {_plain(summary.name)}\n\n{', '.join(facts)}\n"]
    prompt = text(fields.get("prompt"))
    if prompt and not fields.get("llm_call"):  # a model call has it among its messages
        made.append(_block("Prompt", prompt))
    message = message_of(Value(fields))
    if message.text and "output_data" not in message.path:
        made.append(_block("Message", message.text))
    others = [name for name in fields if name not in (*ENVELOPE, *METADATA, *FIELDS, "prompt")]
    for name in (*FIELDS, *others):
        if fields.get(name) and fields[name] != {"prompt": prompt}:  # the `input_data` of a `user_input` repeats it
            made += _field(name, fields)
    return "\n".join(made)


def _field(name: str, fields: JsonObject) -> list[str]:
    group = mapping(fields[name])
    made = [_block(f"{name}.{key}", part) for key in TEXTS if (part := text(group.get(key)))]
    rest = {key: part for key, part in group.items() if key not in TEXTS}
    if name == "llm_call":
        rest.pop("history", None)
        made += [_block(one.title, one.message.value) for one in sent(Value(fields))]
    if rest or not group:
        made.append(_block(name, rest or fields[name]))
    return made


def _plain(name: str) -> str:
    """Text on one line that Markdown shows as it is: whoever opens the file must not fetch an image in a prompt."""
    return _MARKS.sub(r"\\\g<0>", " ".join(visible(name).split()))


def _block(title: str, value: Any) -> str:
    """A fenced block."""
    body = visible(value if isinstance(value, str) else pretty(value))
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"**{_plain(title)}**\n\n{fence}{'' if isinstance(value, str) else 'json'}\n{body}\n{fence}\n"
