"""What was logged, as the details show it: long texts, JSON as a tree, tools' results, prompts of several inputs."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from coagent_langchain.server.presentation.jsonview import parsed, tree
from coagent_langchain.server.presentation.prompt_words import in_words
from coagent_langchain.server.presentation.values import Value
from coagent_langchain.server.running import Running
from tests.server import samples
from tests.server.pages import get, log, shown
from tests.server.story import T0, Story


@pytest.mark.parametrize("path", ["x", "[9]", '["nope"]', '["meta", "a", "b"]', "7"])
def test_unknown_text_is_404(three: Running, path: str) -> None:
    """A path that leads nowhere in the entry."""
    assert get(three, f"/view/text/=recipe?e={T0}-1&path={quote(path)}").status_code == 404


def test_text_that_is_json_nested_too_deep_is_given_as_it_is_alone(running: Running) -> None:
    """Entries have limits, text in them has none: values inside such JSON cannot be serialized again."""
    log(running, [samples.entry(prompt="[" * 300 + "]" * 300)])
    url = f"/view/text/=s?e={samples.T0}-1&path="

    assert [get(running, url + path).status_code for path in ('["prompt"]', '["prompt",0]')] == [200, 404]


def test_long_text_comes_in_pieces_that_join_to_the_whole(running: Running) -> None:
    """The concatenated pieces are the text; `whole` returns it at once."""
    answer = "".join(f"line {number}\n" for number in range(40_000))
    story = Story("long").ask("Write")
    story.model("Write", answer, 900, (1, 1))
    log(running, story.entries)
    place = next(row[13] for row in get(running, "/view/timeline/=long").json()["rows"] if row[1] == "model")
    url = f'/view/text/=long?e={place[2] + T0}-{place[3]}&path=["llm_response","response"]'
    pieces, start = [], "0"
    while start:
        piece = get(running, f"{url}&from={start}")
        pieces.append(piece.text)
        start = piece.headers.get("x-next", "")

    assert len(pieces) == 4
    assert "".join(pieces) == answer == get(running, f"{url}&whole=1").text


def test_json_that_was_logged_as_text_reads_as_a_tree(running: Running) -> None:
    """A tool's result in the details, in the conversation and as a message; copying gives the logged text."""
    value = {"city": "Rome", "days": [{"high": 24}], "report": "dry " * 1000}
    logged = orjson.dumps(value).decode()
    story = Story("s").ask("Rome?")
    story.tool("weather", {"city": "Rome"}, logged, 5, "c1")
    story.call("Rome?", history=[{"role": "tool", "content": logged}])
    log(running, story.entries)
    answer, call = (f"{story.entries[place - 1]['timestamp']}-{place}" for place in (4, 5))
    result, message = ["tool_response", "result", "output"], ["llm_call", "history", "messages", 0, "content"]
    texts = [get(running, f"/view/text/=s?e={answer}&whole=1&path={orjson.dumps(path).decode()}").text
             for path in (result, [*result, "report"])]  # fmt: skip

    assert [str(tree(Value(value, ref, tuple(path)))) in get(running, f"/view/{page}").text for page, ref, path in (
        (f"detail/=s?e={answer}", answer, result), ("conversation/=s", answer, result),
        (f"detail/=s?e={call}", call, message),
    )] == [True] * 3  # fmt: skip
    assert texts == [logged, value["report"]]


def test_large_field_leaves_room_for_those_after_it() -> None:
    """A tool's long table is cut, but not the figures after it; a list is cut at its end, if need be in an object."""
    read = [re.sub("<[^>]+>", " ", tree(Value(value, "1-1"))).split() for value in (
        {"rows": [*range(1000)], "total": 7, "more": {"page": 2}}, [*range(1000)],
        [*range(398), {"page": 2, "of": 3}], [*range(298), dict.fromkeys(range(40), "x")], [[*range(10)]] * 100,
    )]  # fmt: skip

    assert " ".join(read[0][-10:]) == "… 618 more, see Raw total: 7 more: page: 2"
    assert " ".join(read[1][-5:]) == "… 601 more, see Raw"
    assert " ".join(read[2][-6:]) == "398: … 2 more, see Raw"
    assert read[3][-80:] == [word for number in range(40) for word in (f"{number}:", "x")]
    assert " ".join(read[4][-5:]) == "… 63 more, see Raw"


def test_value_that_is_nested_too_deep_is_cut_and_says_so() -> None:
    """However deep it is; Raw shows all of it."""
    value: Any = {"last": 1, "of": 2}
    for _ in range(2_000):
        value = {"in": value}

    assert tree(Value(value, "1-1")).count("<details") == 12
    assert tree(Value(value, "1-1")).striptags().endswith("in: … 1 more, see Raw")


def test_answer_that_is_json_reads_as_a_tree(running: Running) -> None:
    """In the details, in the conversation and as the session's response; one that is not JSON stays text."""
    value = {"city": "Rome", "days": [{"high": 24}]}
    logged = orjson.dumps(value).decode()
    story = Story("s").ask("Rome?")
    story.model("Rome?", logged, 5, (1, 1))
    story.model("Rome?", "Warm.", 5, (1, 1))
    story.end(logged)
    log(running, story.entries)
    answer, end = (f"{story.entries[place - 1]['timestamp']}-{place}" for place in (4, 7))
    conversation = get(running, "/view/conversation/=s").text

    assert [str(tree(Value(value, ref, tuple(path)))) in get(running, f"/view/{page}").text for page, ref, path in (
        (f"detail/=s?e={answer}", answer, ["llm_response", "response"]),
        ("conversation/=s", answer, ["llm_response", "response"]),
        (f"detail/=s?e={end}", end, ["output_data", "response"]),
    )] == [True] * 3  # fmt: skip
    assert '<div class="text prose"><p dir="auto">Warm.</p>' in conversation


@pytest.mark.parametrize("text", ["{}", "[]", "[1] see below", '{"a": 1', "x" * 9, "[" * 5000, f'["{"x" * 100_000}"]'])
def test_what_is_no_json_or_too_long_for_a_tree_stays_text(text: str) -> None:
    """Exactly as it was logged."""
    assert parsed(text) is None


TEXT, SCAN = {"type": "text", "text": "Two rows"}, {"type": "image", "base64": {"mime": "image/png", "bytes": 2006}}


@pytest.mark.parametrize(("result", "note", "content"), [
    ({"output": "Two rows"}, "Two rows", "Result Two rows"),
    ({"output": "Two rows", "artifact": {"rows": [3]}}, "Two rows", "Result Two rows Artifact rows: 1 item 0: 3"),
    ({"output": "Moved", "command": {"goto": "bob"}}, "Moved", "Result Moved Command goto: bob"),
    ({"output": "Moved", "artifact": 3, "command": {"goto": "bob"}}, "Moved",
     "Result Moved Artifact 3 Command goto: bob"),
    ({"output": [TEXT, SCAN]}, "Two rows · image/png · 2.0 kB", "image/png · 2.0 kB"),
    ({"output": [SCAN]}, "image/png · 2.0 kB", "image/png · 2.0 kB"),
    ({"output": [{"type": "json"}]}, '[{"type":"json"}]', "Result 0: type: json"),
    ({"output": "Two rows", "score": 3}, '{"output":"Two rows","score":3}', "Result output: Two rows score: 3"),
    ({"command": {"goto": "bob"}}, '{"command":{"goto":"bob"}}', "Result command: goto: bob"),
])  # fmt: skip
def test_what_a_tool_gave_back_stands_apart_from_what_came_with_it(
    running: Running, result: dict[str, Any], note: str, content: str
) -> None:
    """Its artifact and its graph command have their own parts; images are named."""
    story = Story("s").ask("Hi")
    story.tool("read", {}, "", 5, "1")
    story.entries[-1]["tool_response"]["result"] = result
    log(running, story.entries)
    timeline = get(running, "/view/timeline/=s").json()
    row = next(row for row in timeline["rows"] if row[1] == "tool")
    at, seq = row[13][-2:]
    details = shown(running, f"/view/detail/=s?e={timeline['t0'] + at}-{seq}")

    assert row[4] == note
    assert details.split(" Raw ", 1)[1].split(" tool_response ")[0].endswith(content)


def test_what_a_model_was_sent_is_not_called_a_prompt(running: Running) -> None:
    """A prompt is the user's request; what a model receives has another name."""
    story = Story("s").ask("Where is my parcel?")
    story.model("Write a query for: parcel", "SELECT 1", 40, (0, 0))
    log(running, story.entries)
    said = re.findall("<(?:b|h3)>([^<]*)", get(running, "/view/conversation/=s").text)

    assert said == ["User", "To the model", "agent"]


def test_model_that_is_its_own_issuer_is_named_once(running: Running) -> None:
    """Beside its response."""
    story = Story("s").ask("Count")
    story.model("Count", "1", 40, (0, 0), issuer="Scripted", model="Scripted")
    log(running, story.entries)

    assert get(running, "/view/conversation/=s").text.count("Scripted") == 1


INPUTS = '{"source":"English","glossary":"","formal":true,"passage":"The \\u0022report\\u0022'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (INPUTS + '","tags":["a","b"]}', 'source: English · formal: true · passage: The "report" · tags: a, b'),
        (INPUTS + '","tags":["a","b', 'source: English · formal: true · passage: The "report" · tags: a, b…'),
        (INPUTS + '","ta', 'source: English · formal: true · passage: The "report"…'),
        (INPUTS, 'source: English · formal: true · passage: The "report"…'),
        (INPUTS[:-1], 'source: English · formal: true · passage: The "report…'),
        (INPUTS[:-2] + "…", 'source: English · formal: true · passage: The "report…'),
        (INPUTS.partition('"The')[0], "source: English · formal: true…"),
        (INPUTS.partition("ue,")[0], "source: English…"),
        ('{"a":{"b":1,"c":{"d":null}},"e":[]}', "a: b: 1"),
        ('{"a":{"b":{"c":{"d":1}}}}', "a: b: c: d: 1"),
        ('{"a":{"b":{"c":{"d":{"e":1}}}}}', "a: b: c: d: …"),
        ('{"a":{"b":{"c":{"d":{"e":1', "a: b: c: d: …"),
        ('{"a":["",1,null]}', "a: 1"),
        ('{"a":""}', '{"a":""}'),
        ('{"a": 1, "b": 2} explain this', '{"a": 1, "b": 2} explain this'),
        ('{"a', '{"a'),
        ('{"a": 123456789012345678901, "b": true}', "a: 123456789012345678901 · b: true"),
        ('{"a":' + "[" * 3000, '{"a":' + "[" * 3000),
        ('{"a":' + "[" * 90 + "1" + "]" * 90 + "}", "a: …"),
        ("plain", "plain"),
        ('[{"type":"image","base64":{"mime":"image/png","bytes":2006,"sha256":"aa"}}]', "image/png · 2.0 kB"),
        ('[{"type":"image","base64":{"mime":"image/png","bytes":2006,"sha', "image/png · 2.0 kB…"),
        (f'{{"image":{{"mime":"image/png","bytes":{10**400}}}}}', f"image: mime: image/png, bytes: {10**400}"),
        ('{"page":1,"scan":{"mime":"image","bytes":2006,"sha256":"aa"}}', "page: 1 · scan: image · 2.0 kB"),
        ('{"mime":"image","bytes":"many"}', "mime: image · bytes: many"),
        ('[{"type":"text","text":"What is it?"},{', "What is it?…"),
        ('[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]', "image · https://example.org/a.png"),
        ('[{"topic":"cats"}]', '[{"topic":"cats"}]'),
    ],
)
def test_prompt_of_several_inputs_is_shown_in_words(text: str, words: str) -> None:
    """Wherever it was cut off; text that only looks like one is unchanged."""
    assert in_words(text) == words


def test_details_of_a_call_tell_the_tokens_that_are_part_of_others(running: Running) -> None:
    """Those of reasoning may be most of the output, which its text does not show; a zero is not told."""
    story = Story("s").ask("hello")
    for cached, reasoning in ((6, 15), (0, 0)):
        story.model("hello", "Hi", 5, (10, 20), cached=cached)
        story.entries[-1]["meta"]["usage"]["output_token_details"] = {"reasoning": reasoning}
    log(running, story.entries)
    answers = [(at, entry) for at, entry in enumerate(story.entries, 1) if entry["event_type"] == "llm_response"]
    details = [shown(running, f"/view/detail/=s?e={entry['timestamp']}-{at}") for at, entry in answers]

    assert [re.findall(r"10 → .+?(?= (?:\$|Content))", each) for each in details] == [
        ["10 → 20 tokens, 6 cached, 15 for reasoning"], ["10 → 20 tokens"],
    ]  # fmt: skip


def test_details_without_content_say_so(running: Running) -> None:
    """For a node that changed nothing, and for calls and a prompt that were logged without their content."""
    story = Story("s")
    story.leave(story.enter("plan"), "plan", 5)
    story.log("llm_call", 1, llm_call={"issuer": "agent"})
    story.log("user_input", meta={"content": "not captured"})
    story.log("tool_call", 1, tool_call={"tool_name": "weather"}, meta={"content": "not captured"})
    story.log("info", output_data={"message": "hello"})
    story.log("info", meta={"message": "hello"})
    log(running, story.entries)
    told = [get(running, f"/view/detail/=s?e={T0}-{number}").text for number in (1, 3, 4, 5, 6, 7)]
    empty = ["Only names, numbers, times and metadata are logged." in each for each in told]

    assert empty == [True, True, True, True, False, False]


@pytest.mark.parametrize(("outcome", "told"), [
    (None, "Until it ends, only names, numbers and times are logged."),
    ("interrupted", "It was interrupted before it returned anything."),
    ("unknown", "Only names, numbers, times and metadata are logged."),
])  # fmt: skip
def test_details_of_a_node_that_did_not_finish_say_why_they_are_empty(
    running: Running, outcome: str | None, told: str
) -> None:
    """What a node returned is in the event of its end."""
    story = Story("s")
    run = story.enter("ask")
    if outcome:
        story.leave(run, "ask", 5)
        story.entries[-1]["meta"]["outcome"] = outcome
    log(running, story.entries)

    assert told in shown(running, f"/view/detail/=s?e={T0}-1")


@pytest.mark.parametrize(("number", "own", "told"), [
    (1, 0, "Messages 1 message returned; those of models and tools have rows of their own"),
    (6, 1, "Messages 6 messages returned; those of models and tools have rows of their own"),
    (1, 1, "Says It is 1."),
    (None, 0, "Only names, numbers, times and metadata are logged."),
])  # fmt: skip
def test_details_of_a_node_tell_that_it_returned_messages(
    running: Running, number: int | None, own: int, told: str
) -> None:
    """They are logged with the calls that made them; the node's own are in its event."""
    said = {"output_data": {"messages": [{"role": "assistant", "content": "It is 1."}]}} if own else {}
    log(running, [samples.entry(event_type="component_exit", target_component={"name": "tools"},
                                meta={"messages": number} if number else {}, **said)])  # fmt: skip
    page = shown(running, f"/view/detail/=s?e={samples.T0}-1")

    assert told in page
    assert ("Messages" in page, "Only names" in page) == ("Messages" in told, "Only names" in told)
