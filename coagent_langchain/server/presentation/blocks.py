"""Content blocks of messages and results: their texts, and the images and files among them."""

from __future__ import annotations

from typing import Any

from coagent_langchain.server.presentation.formats import preview, size
from coagent_langchain.server.presentation.values import listing, mapping, text

_ELSEWHERE = {"image": "image", "image_url": "image", "input_image": "image", "audio": "audio", "video": "video"}


def media(value: Any) -> list[str]:
    """The images and files in a value, each once.

    Those that a handler described become `image/png · 175.3 kB`, those with an address `image · https://…`.
    """
    found: dict[tuple[Any, ...], str] = {}
    stack = [value]
    while stack:
        each = stack.pop()
        kind, octets = mapping(each).get("mime"), mapping(each).get("bytes")
        if isinstance(kind, str) and type(octets) is int and octets.bit_length() < 64:  # a text may say more
            found[kind, octets, text(each.get("sha256"))] = f"{preview(kind, 60)} · {size(octets)}"
        elif address := _address(mapping(each)):
            found[(address,)] = f"{_ELSEWHERE[each['type']]} · {preview(address, 100)}"
        else:
            stack += reversed([*mapping(each).values(), *listing(each)])
    return list(found.values())


def all_media(blocks: list[Any]) -> bool:
    """Whether there are content blocks, and each is an image or a file."""
    return bool(blocks) and len(media(blocks)) == len(blocks)


def _address(block: dict[str, Any]) -> str:
    """The address of a content block's image, audio or video; "" if it has none, or has the data itself.

    Supports LangChain's blocks (`url`), Anthropic's (`source.url`), OpenAI's (`image_url`, also `image_url.url`).
    """
    if text(block.get("type")) not in _ELSEWHERE:
        return ""
    place = block.get("image_url") or block.get("source") or block
    return text(place) or text(mapping(place).get("url"))


def joined(value: Any) -> str:
    """The texts of content blocks, then their images and files; "" if the value is not a list of content blocks."""
    blocks = [mapping(block) for block in listing(value) if block != {}]  # one that was cut off before its first value
    if not blocks or not all(isinstance(block.get("type"), str) for block in blocks):
        return ""
    return " · ".join([*filter(None, (text(block.get("text")) for block in blocks)), *media(value)])
