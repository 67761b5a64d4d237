"""Figures, texts and addresses as the pages write them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from coagent_langchain.server.presentation.formats import (
    arguments,
    compact,
    cost,
    duration,
    preview,
    session_path,
    size,
    tokens,
    visible,
)
from coagent_langchain.server.presentation.rows import rows
from tests.server.drawing import timeline
from tests.server.story import T0, Story


@pytest.mark.parametrize(("given", "made", "written"), [
    (1_200, 30, "1,200→30"), (None, 30, "–→30"), (0, None, "0→–"), (None, None, ""),
])  # fmt: skip
def test_unknown_tokens_are_a_dash_beside_known_ones(given: int | None, made: int | None, written: str) -> None:
    """If neither is known, there is nothing to say."""
    assert tokens(given, made) == written


@pytest.mark.parametrize(("number", "written"), [
    (None, "–"), (0, "0"), (9_999_999, "9,999,999"), (10_000_000, "10.0 M"), (111_111_000, "111.1 M"),
    (999_949_999, "999.9 M"), (999_950_000, "1.0 B"), (123_456_789_012, "123.5 B"), (10**13, "10.0 T"),
    (10**16, "10000.0 T"),
])  # fmt: skip
def test_large_counts_are_short_in_columns(number: int | None, written: str) -> None:
    """Rounded before the unit is chosen."""
    assert compact(number) == written


@pytest.mark.parametrize(("ms", "written"), [
    (None, "–"), (-1, "–"), (0, "0 ms"), (999, "999 ms"), (999.5, "1.0 s"), (59_949, "59.9 s"), (59_950, "1 min 00 s"),
    (7_500_000, "2 h 05 min"), (172_800_000, "2 d 0 h"), (273_600_000, "3 d 4 h"),
])  # fmt: skip
def test_durations_are_written_in_their_largest_units(ms: float | None, written: str) -> None:
    """Clocks of two machines may differ: a session that ends before it begins has no duration."""
    assert duration(ms) == written


@pytest.mark.parametrize(("dollars", "written"), [
    (None, "–"), (0, "$0.00"), (0.00009, "<$0.0001"), (0.0001, "$0.0001"), (0.99994, "$0.9999"), (0.99996, "$1.00"),
    (1, "$1.00"), (1234.5, "$1,234.50"),
])  # fmt: skip
def test_costs_are_written_with_the_digits_that_tell(dollars: float | None, written: str) -> None:
    """Four decimals below a dollar, two above."""
    assert cost(dollars) == written


@pytest.mark.parametrize(("octets", "written"), [
    (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (5_240_000, "5.2 MB"),
])  # fmt: skip
def test_sizes_are_rounded_before_their_unit_is_chosen(octets: int, written: str) -> None:
    """Never `1000.0 kB`."""
    assert size(octets) == written


def test_invisible_characters_are_shown() -> None:
    """Control characters by their symbols, others by their numbers; a line may still end and be indented."""
    assert visible("a\x07\x7f\u202eb\r\n\tc\u200d") == "a␇␡⟨U+202E⟩b\n\tc\u200d"


@pytest.mark.parametrize(("text", "line"), [
    ("two \n words", "two words"), ("x" * 160, "x" * 160), ("x" * 161, "x" * 160 + "…"), ("a" + " " * 320 + "b", "a…"),
])  # fmt: skip
def test_beginning_of_a_text_says_if_it_is_all_of_it(text: str, line: str) -> None:
    """Also where white space was left out of it."""
    assert preview(text) == line


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
