"""JSON values and long texts as HTML."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from markupsafe import Markup

from coagent_langchain.server.presentation.jsonview import parsed, shown, tree
from coagent_langchain.server.presentation.parts import of_answer, of_partial
from coagent_langchain.server.presentation.values import Value

BUTTON = re.compile('<button type="button" class="plain more" (.*?)>(.*?)</button>')


def buttons(content: Markup) -> list[tuple[str, str]]:
    """The attributes and the label of each button that fetches the rest of a text."""
    return [(html.unescape(attributes), label) for attributes, label in BUTTON.findall(content)]


@pytest.mark.parametrize(("text", "value"), [
    ('{"a": 1}', {"a": 1}), ("\n [1]", [1]), ("{}", None), ("[]", None), ("42", None), ("true", None), ('"a"', None),
    ("{a}", None), ("", None),
])  # fmt: skip
def test_text_is_json_if_it_has_a_structure(text: str, value: Any) -> None:
    """A number or a word is text: it may have been meant as such."""
    assert parsed(text) == value


@pytest.mark.parametrize(("value", "folds"), [
    ({"a": {"b": {"c": {"d": {"e": 1}}}}}, [" open", " open", " open", ""]),
    ({"a": [0] * 20, "b": [0] * 21}, [" open", ""]), ({"a": {}, "b": [], "c": 1}, []),
])  # fmt: skip
def test_tree_is_unfolded_where_it_is_short(value: Any, folds: list[str]) -> None:
    """Down to the third level, and up to twenty values."""
    assert re.findall("<details(.*?)>", tree(Value(value, "1-1"))) == folds


def test_rest_of_a_long_text_is_fetched_from_its_place() -> None:
    """The button names the entry, the place in it and how much there is; a text that fits has none."""
    texts = ["x" * 2_000, "ü" * 2_001]

    assert [buttons(shown(Value(text, "7-3", ("meta", 0)))) for text in texts] == [
        [], [('data-more="7-3" data-path="["meta",0]" data-from="2000"', "Show more of 4.0 kB")],
    ]  # fmt: skip


def test_rest_of_a_long_answer_is_fetched_from_its_place_too() -> None:
    """Of one as prose, as JSON, and of one that broke off: 2,000 characters are shown."""
    long = "word " * 500
    place = ("7-3", ("llm_response", "response"))
    contents = [
        of_answer("Answer", Value(long, *place)).content,
        of_answer("Answer", Value(f'{{"a": "{long}"}}', *place)).content,
        of_partial(Value({"output_data": {"partial_response": long}}, "7-3"))[0].content,
    ]

    assert [content.count("word") for content in contents] == [400] * 3
    assert [buttons(content) for content in contents] == [
        [(f'data-more="7-3" data-path="[{path}]" data-from="2000"', "Show more of 2.5 kB")]
        for path in ('"llm_response","response"', '"llm_response","response","a"', '"output_data","partial_response"')
    ]
