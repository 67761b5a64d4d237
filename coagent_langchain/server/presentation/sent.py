"""What a model was sent: the messages of an `llm_call` in order, with the prompt in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coagent_langchain.server.presentation.blocks import all_media, media
from coagent_langchain.server.presentation.values import listing, mapping, text
from coagent_langchain.wire import JsonObject, JsonPath


@dataclass(frozen=True, slots=True)
class Sent:
    """One message.

    Attributes:
        message: as logged, with the prompt filled in as its `content`; the prompt's text if no message has it.
        path: its place in the entry.
        content: the place of its content.
        asks: whether it is the prompt.
    """

    message: Any
    path: JsonPath
    content: JsonPath
    asks: bool = False

    @property
    def title(self) -> str:
        """What to call it if it names no role."""
        return "To the model" if self.asks and isinstance(self.message, str) else "Message"

    @property
    def words(self) -> tuple[Any, JsonPath]:
        """Its content and the place of it; just the text, or "", if the rest is images and files, shown as chips."""
        content = mapping(self.message).get("content")
        parts = listing(content)
        if all_media(parts):
            return "", self.content
        texts = [place for place, part in enumerate(parts) if isinstance(mapping(part).get("text"), str)]
        if len(texts) != 1 or len(media(parts)) != len(parts) - 1:
            return content, self.content
        return parts[texts[0]]["text"], [*self.content, texts[0], "text"]


def sent(fields: JsonObject) -> list[Sent]:
    """The messages after the system prompt; if none of them is the prompt, the prompt comes last."""
    history, prompt = mapping(fields.get("llm_call")).get("history"), text(fields.get("prompt"))
    path: JsonPath = ["llm_call", "history"] if isinstance(history, list) else ["llm_call", "history", "messages"]
    messages = listing(history) or listing(mapping(history).get("messages"))
    found = [_sent(message, [*path, place], prompt) for place, message in enumerate(messages)]
    if prompt and not any(one.asks for one in found):
        found.append(Sent(prompt, ["prompt"], ["prompt"], asks=True))
    return found


def _sent(message: Any, path: JsonPath, prompt: str) -> Sent:
    fields = mapping(message)
    if fields.get("content_is_prompt") is not True:
        return Sent(message, path, [*path, "content"], asks=bool(prompt) and fields.get("content") == prompt)
    if "content" in fields:
        return Sent(message, path, [*path, "content"], asks=True)
    rest = {key: value for key, value in fields.items() if key not in ("role", "content_is_prompt")}
    return Sent({"role": fields.get("role"), "content": prompt, **rest}, path, ["prompt"], asks=True)
