"""Figures, texts and addresses as the pages write them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from coagent_langchain.server.presentation.formats import arguments, session_path, size, tokens, visible
from coagent_langchain.server.presentation.rows import rows
from tests.server.drawing import timeline
from tests.server.story import T0, Story


@pytest.mark.parametrize(("given", "made", "written"), [
    (1_200, 30, "1,200→30"), (None, 30, "–→30"), (0, None, "0→–"), (None, None, ""),
])  # fmt: skip
def test_unknown_tokens_are_a_dash_beside_known_ones(given: int | None, made: int | None, written: str) -> None:
    """If neither is known, there is nothing to say."""
    assert tokens(given, made) == written


@pytest.mark.parametrize(("octets", "written"), [
    (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (5_240_000, "5.2 MB"),
])  # fmt: skip
def test_sizes_are_rounded_before_their_unit_is_chosen(octets: int, written: str) -> None:
    """Never `1000.0 kB`."""
    assert size(octets) == written


def test_invisible_characters_are_shown() -> None:
    """Control characters by their symbols, others by their numbers; a line may still end and be indented."""
    assert visible("a\x07\x7f\u202eb\r\n\tc\u200d") == "a␇␡⟨U+202E⟩b\n\tc\u200d"


@pytest.mark.parametrize(("parameters", "line"), [
    ({"city": "Rome", "unit": None, "days": [1, 2]}, "city: Rome, unit: , days: [1,2]"), ({}, ""), ("text", ""),
    ({"found": "x" * 81, "task": "y" * 80, "why": "z" * 25, "agent": "c" * 24},
     f"agent: {'c' * 24}, task: {'y' * 80}, why: {'z' * 25}, found:…"),
])  # fmt: skip
def test_arguments_are_a_line(parameters: Any, line: str) -> None:
    """Texts as they are, other values as JSON, and nothing for null; the long ones at the end, where a row cuts."""
    assert arguments(parameters) == line


@pytest.mark.parametrize(("session_id", "words", "path"), [
    ("a b/c", "", "/sessions/a%20b%2Fc"), ("a", "to Rome", "/sessions/a?q=to+Rome"), (".", "", "/sessions/?id=."),
    ("..", "x", "/sessions/?id=..&q=x"), ("...", "", "/sessions/..."),
])  # fmt: skip
def test_path_of_a_session_survives_the_browser(session_id: str, words: str, path: str) -> None:
    """A browser resolves `.` and `..` in a path, even if they are escaped."""
    assert session_path(session_id, words) == path


def test_impossible_duration_breaks_no_page() -> None:
    """JSON has no room for it, and neither has the browser."""
    story = Story("s").ask("hello")
    story.log("session_end", meta={"elapsed_time_ms": 1e300})

    assert orjson.loads(orjson.dumps(rows(timeline(story.entries), T0)))[-1][6] == 0
