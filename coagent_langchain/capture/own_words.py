"""Messages that graph nodes produce themselves, without a model: no event other than the node's can carry them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from coagent_langchain.capture.content import fields_of, role_of
from coagent_langchain.capture.messages import Answer, message_dict
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.updates import messages_in
from coagent_langchain.texts import fingerprint

MAX_SAID = 1_000  # texts of one run that are recognized when they are returned again

_GIVEN_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as LangGraph assigns to messages without an id


def note_answer(root: Root, answer: Answer) -> None:
    """Note a model's message, because the node around the model will return it."""
    _note(root, _key(answer.text, answer.tool_calls))


def own_words(root: Root, updates: Sequence[Any]) -> list[dict[str, Any]]:
    """The messages of a node that do not come from a model.

    A model's message has an id from its provider or LangChain. One without an id, or with one that LangGraph assigned,
    is the node's own, unless it repeats an earlier message.

    Parameters:
        updates: from `updates_of`.
    """
    found = []
    for update in updates:
        for message in messages_in(update):
            if role_of(message) == "assistant" and _may_be_new(root, fields_of(message).get("id")):
                told = message_dict(message)
                key = _key(told.get("content"), told.get("tool_calls"))
                if key is not None and key not in root.said:
                    _note(root, key)
                    found.append(told)
    return found


def _may_be_new(root: Root, message_id: Any) -> bool:
    if message_id is None:
        return True
    if not isinstance(message_id, str) or not _GIVEN_ID.fullmatch(message_id) or root.prompt is None:
        return False
    return root.prompt.course.pending.tell(message_id)


def _key(content: Any, calls: list[dict[str, Any]] | None) -> int | None:
    """A key to recognize a message by, from its content or else its tool calls; None if it has neither."""
    if content:
        return fingerprint(content if isinstance(content, str) else repr(content))
    return hash(tuple(str(call.get("id")) for call in calls)) if calls else None


def _note(root: Root, key: int | None) -> None:
    if key is not None and len(root.said) < MAX_SAID:
        root.said.add(key)
