"""What a model was sent: the messages of an `llm_call` in order, with the prompt in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coagent_langchain.server.presentation.blocks import all_media, media
from coagent_langchain.server.presentation.values import Value, listing, mapping


@dataclass(frozen=True, slots=True)
class Sent:
    """One message.

    Attributes:
        message: as logged, with the prompt filled in as its `content`; the prompt's text if no message has it.
        content: its content, at its place in the entry.
        asks: whether it is the prompt.
    """

    message: Value
    content: Value
    asks: bool

    @property
    def title(self) -> str:
        """What to call it if it names no role."""
        return "To the model" if self.asks and isinstance(self.message.value, str) else "Message"

    @property
    def words(self) -> Value:
        """Its content; just the text, or "", if the rest is images and files, shown as chips."""
        parts = listing(self.content.value)
        if all_media(parts):
            return replace(self.content, value="")
        texts = [found for part in self.content.each if isinstance((found := part.at("text")).value, str)]
        return texts[0] if len(texts) == 1 and len(media(parts)) == len(parts) - 1 else self.content


def sent(entry: Value) -> list[Sent]:
    """The messages after the system prompt; if none of them is the prompt, the prompt comes last."""
    prompt, history = entry.at("prompt"), entry.at("llm_call", "history")
    prompt = replace(prompt, value=prompt.text)
    found = [_sent(message, prompt) for message in history.each or history.at("messages").each]
    if prompt.text and not any(one.asks for one in found):
        found.append(Sent(prompt, prompt, asks=True))
    return found


def _sent(message: Value, prompt: Value) -> Sent:
    fields, content = mapping(message.value), message.at("content")
    if fields.get("content_is_prompt") is not True:
        return Sent(message, content, asks=bool(prompt.text) and content.value == prompt.text)
    if "content" in fields:
        return Sent(message, content, asks=True)
    rest = {key: value for key, value in fields.items() if key not in ("role", "content_is_prompt")}
    filled = {"role": fields.get("role"), "content": prompt.text, **rest}
    return Sent(replace(message, value=filled), prompt, asks=True)
