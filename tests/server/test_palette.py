"""The palette of the style sheet: legible in light and dark mode, computed from the colours themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SHEET = Path(__file__).parents[2] / "coagent_langchain/server/static/viewer.css"
PALETTE = dict(re.findall(r"--([\w-]+): light-dark\((#\w{6}, #\w{6})\);", SHEET.read_text(encoding="utf-8")))
TEXTS = ("text", "muted", "accent", "bad", "ok", "warn")
GROUNDS = ("bg", "panel", "raised", "accent-soft")
MARKS = ("accent", "tool", "bad")  # bars and icons: 3 to 1 suffices for non-text


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, theme: int) -> float:
    """Contrast of two names of the palette; theme 0 is light, 1 is dark."""
    first, second = (luminance(PALETTE[name].split(", ")[theme]) for name in (one, other))
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_stands_out_from_every_ground(theme: int) -> None:
    """At least 4.5 to 1, also for muted text on the selected row."""
    weak = {(text, ground): round(contrast(text, ground, theme), 2) for text in TEXTS for ground in GROUNDS
            if contrast(text, ground, theme) < 4.5}  # fmt: skip

    assert weak == {}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_error_box_can_be_read(theme: int) -> None:
    """Error text on its own background."""
    assert contrast("bad", "bad-soft", theme) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_what_a_search_found_can_be_read(theme: int) -> None:
    """Text on the highlights of a search."""
    assert contrast("text", "found", theme) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_bars_stand_out(theme: int) -> None:
    """Bars and icons against the page, a folded row and the selected row."""
    weak = {(mark, ground): round(contrast(mark, ground, theme), 2) for mark in MARKS for ground in GROUNDS
            if contrast(mark, ground, theme) < 3}  # fmt: skip

    assert weak == {}
