"""Messages that graph nodes produce themselves, without a model: no event other than the node's can carry them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeGuard

from coagent_langchain.sessions.pending import Pending
from coagent_langchain.texts import bounded, fingerprint
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.fields import fields_of
from coagent_langchain.values.messages import message_dict
from coagent_langchain.values.roles import role_of
from coagent_langchain.values.updates import messages_in

MAX_KNOWN = 1_000  # texts of one run that are recognized when they are returned again
MAX_INPUT = 500  # latest messages of a graph's input that are recognized when a node returns the whole state

_GIVEN_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as LangGraph assigns to messages without an id


class KnownMessages(set[int | None]):
    """Fingerprints of the messages of a root's models and nodes, and of the ids of its models' messages.

    Attributes:
        in_input: those of the assistant's messages in the root's input.
    """

    in_input: frozenset[int | None] = frozenset()

    def note_model_message(self, answer: Answer) -> None:
        """Note a model's message, because the node around it will return it, and its id: a node may replace it."""
        if len(self) < MAX_KNOWN:
            self.add(_key(answer.text, answer.tool_calls))
            if type(answer.message_id) is str:
                self.add(hash(answer.message_id))

    def note_input(self, inputs: Any) -> None:
        """Note the assistant's messages in a graph's input, because nodes may return them with the whole state."""
        given = messages_in(inputs if isinstance(inputs, dict) else fields_of(inputs))
        if len(given) > 1:
            told = [message_dict(each) for each in given[-MAX_INPUT:] if role_of(each) == "assistant"]
            self.in_input = frozenset(_key(each.get("content"), each.get("tool_calls")) for each in told)

    def nodes_own(self, updates: Sequence[Any], pending: Pending) -> list[dict[str, Any]]:
        """The messages of a node that do not come from a model.

        A model's message has an id from its provider or LangChain. One without an id, or with one that LangGraph
        assigned, is the node's own, unless it repeats an earlier message, or was in the graph's input and is part of
        its state. So is one that replaces a model's answer under its id, as guards do.
        """
        found = []
        for update in updates:
            messages = messages_in(update)
            for message in messages:
                fields = fields_of(message)
                message_id = fields.get("id")
                if message_id is None:
                    is_own = role_of(message) == "assistant"
                    may_be_given = len(messages) > len(self.in_input)  # else this is not the whole state
                elif _is_langgraphs(message_id):
                    is_own = role_of(message) == "assistant" and pending.note_message(message_id)
                    may_be_given = True
                else:
                    content = fields.get("content")
                    is_own = bool(content) and self._is_replaced(message_id, content)
                    may_be_given = False
                if not is_own:
                    continue
                told = message_dict(message)
                key = _key(told.get("content"), told.get("tool_calls"))
                is_repeated = key in self or (may_be_given and key in self.in_input)
                if key is not None and not is_repeated:
                    found.append(told)
                    if len(self) < MAX_KNOWN:
                        self.add(key)
        return found

    def _is_replaced(self, message_id: Any, content: Any) -> bool:
        """Whether a model's answer in this run has that id, but another text."""
        if type(message_id) is not str or type(content) is not str:
            return False
        return hash(message_id) in self and fingerprint(bounded(content)) not in self


def _is_langgraphs(message_id: Any) -> TypeGuard[str]:
    return isinstance(message_id, str) and _GIVEN_ID.fullmatch(message_id) is not None


def _key(content: Any, calls: list[dict[str, Any]] | None) -> int | None:
    """A key to recognize a message by, from its content or else its tool calls; None if it has neither."""
    if content:
        return fingerprint(content if isinstance(content, str) else repr(content))
    return hash(tuple(str(call.get("id")) for call in calls)) if calls else None
