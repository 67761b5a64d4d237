"""The details of a bar or an entry: its parts, messages, fields, images."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from coagent_langchain.server.presentation.blocks import media
from coagent_langchain.server.presentation.contents import MAX_CALLS, MAX_FIELDS, earlier, of_entry
from coagent_langchain.server.presentation.entries import requested_tools
from coagent_langchain.server.presentation.formats import brief
from coagent_langchain.server.presentation.parts import MAX_WORDS, Part, omitted
from coagent_langchain.server.presentation.values import Value
from tests.server import sessions
from tests.server.drawing import ASKED, FILE, IMAGE, TOOL, judged, oversight
from tests.server.story import T0, Story


def test_details_of_one_entry_tell_how_its_bar_went() -> None:
    """The Events tab shows single entries: a call has ended even if its own entry does not say so."""
    story = Story("s").ask("hello")
    failing = story.call("hello")
    story.log("error", 1, failing, error_info={"error_id": "e-1", "error_type": "Timeout"})
    story.tool("track", {}, "here", 5, "c1")
    story.leave(story.enter("plan"), "plan", 5)
    oversight(story, "interrupted", "int-1", "Book it?")
    oversight(story, "resumed", "int-1", "yes")
    story.log("warning", output_data={"message": "slow"})
    story.tool_call("track", {}, "c2")
    told = [judged(story.entries, place).status for place in range(len(story.entries))]

    assert told == ["open"] * 2 + ["error"] * 2 + ["ok"] * 6 + ["", "open"]


def test_details_of_a_call_tell_how_long_it_took_as_its_row_does() -> None:
    """The time from its first entry to its last, unless an entry names a duration."""
    story = Story("s").ask("hello")
    run = story.tool_call("track", {}, "c1")
    story.wait(640).tool_done(run, "track", "here", 500, "c1")
    timed = judged(story.entries, 2, 3).took
    del story.entries[-1]["tool_response"]["execution_time_ms"]

    assert (timed, judged(story.entries, 2, 3).took) == (None, 640)


@pytest.mark.parametrize(("meta", "icon"), [({}, "tool"), ({"kind": "retriever"}, "retriever")])
def test_details_of_a_retriever_have_its_icon(meta: dict[str, str], icon: str) -> None:
    """As its row has, which tells it from a tool; also those of its response alone, but not of its error alone."""
    story = Story("s").ask("hello")
    run = story.tool_call("docs", {"query": "hello"}, "c1")
    story.entries[-1]["meta"] |= meta
    story.log("error", 0, run)
    story.tool_done(run, "docs", "found", 5, "c1")

    assert [judged(story.entries, *places).icon for places in ((2, 3, 4), (4,), (3,))] == [icon, icon, "error"]


def test_details_of_a_failed_call_begin_with_its_error() -> None:
    """The messages that a model was sent may fill several screens."""
    story = Story("s").ask("Sum up")
    run = story.call("Sum up", history=[{"role": "user", "content": "Hello."}])
    info = {"error_type": "BadRequestError", "error_message": "prompt is too long", "error_severity": "high"}
    story.log("error", 1, run, error_info=info)
    made = judged(story.entries, 2, 3)

    assert [part.title for part in made.parts] == ["BadRequestError", "User", "To the model", "Details"]


def test_details_of_a_recovered_tool_say_each_thing_once() -> None:
    """The message is shown with the error, not again with the response; so is the error's id."""
    story = Story("s").ask("pay")
    run = story.tool_call("pay", {"amount": 5}, "c1")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no money left"}
    story.log("error", 1, run, error_info=info)
    story.log("tool_response", 1, run, tool_response={"tool_name": "pay", "success": False,
                                                      "error_message": "no money left"})  # fmt: skip
    story.log("recovery", 1, run, error_info={"error_id": "e-1", "recovery_strategy": "handled"})
    made = judged(story.entries, 2, 3, 4, 5)
    parts = [(part.kind, part.title, part.content.striptags()) for one in made.entries for part in one.parts]

    assert parts == [
        ("json", "Arguments", "amount: 5"), ("bad", "ValueError", "no money left"),
        ("json", "Details", "error_id: e-1"), ("json", "Recovery", "recovery_strategy: handled"),
    ]  # fmt: skip


def test_details_of_a_tool_say_what_its_error_does_not() -> None:
    """The response may have words of its own, for the model."""
    story = Story("s").ask("pay")
    run = story.tool_call("pay", {"amount": 5}, "c1")
    story.log("error", 1, run, error_info={"error_type": "ValueError", "error_message": "no money left"})
    story.log("tool_response", 1, run, tool_response={"success": False, "error_message": "Pay in cash."})
    made = judged(story.entries, 2, 3, 4)

    assert [(part.title, part.content.striptags()) for one in made.entries for part in one.parts] == [
        ("Arguments", "amount: 5"), ("ValueError", "no money left"), ("Error", "Pay in cash."),
    ]  # fmt: skip


@pytest.mark.parametrize(("end", "titles"), [("", ["ValueError"]), (" Pay in cash.", ["ValueError", "Error"])])
def test_long_message_of_a_tool_is_left_out_only_if_its_error_has_all_of_it(end: str, titles: list[str]) -> None:
    """Also where the pane shows no more than its beginning, and a button for the rest."""
    story, message = Story("s"), "no money left " * 200
    story.log("error", 1, "r", error_info={"error_type": "ValueError", "error_message": message})
    story.log("tool_response", 1, "r", tool_response={"success": False, "error_message": message + end})
    made = judged(story.entries, 0, 1)

    assert [part.title for one in made.entries for part in one.parts] == titles


@pytest.mark.parametrize(("kind", "fields", "parts"), [
    ("user_input", {"prompt": "Hi", "input_data": {"prompt": "Hi", "files": ["a.pdf"]}},
     [("Prompt", "Hi"), ("Input data", "files: 1 item0: a.pdf")]),
    ("llm_call", {"prompt": "Hi", "llm_call": {"issuer": "me"}}, [("To the model", "Hi")]),
    ("llm_response", {"llm_response": {"response": "Ho"}, "performance_metrics": {"cost": 1}}, [("Answer", "Ho")]),
    ("tool_call", {"tool_call": {"tool_name": "t", "parameters": {"a": 1}}}, [("Arguments", "a: 1")]),
    ("tool_response", {"tool_response": {"result": {"output": "x"}}}, [("Result", "x")]),
    ("error", {"error_info": {"error_message": "no"}, "output_data": {"partial_response": "H", "step": 2}},
     [("Partial answer", "H"), ("Error", "no"), ("Output data", "step: 2")]),
    ("recovery", {"error_info": {"recovery_strategy": "retry"}}, [("Recovery", "recovery_strategy: retry")]),
    ("user_input", {"input_data": {"prompt": {"city": "Rome"}}}, [("Prompt", "city: Rome")]),
    ("session_end", {"output_data": {"response": "Bye", "score": 3}}, [("Output data", "response: Byescore: 3")]),
])  # fmt: skip
def test_details_end_with_what_a_client_has_written_of_its_own(
    kind: str, fields: dict[str, Any], parts: list[tuple[str, str]]
) -> None:
    """Each field once; neither what is shown elsewhere in the details nor what has no value."""
    entry = Story("s").log(kind, **fields, span_attributes={"team": "eu"}, nothing=None)
    (one,) = judged([entry], 0).entries

    assert [(part.title, " ".join(part.content.striptags().split())) for part in one.parts] == [
        *parts, ("Span attributes", "team: eu"),
    ]  # fmt: skip


@pytest.mark.parametrize(("started", "parts"), [
    ("book " * 500, ["Team", "Prompt"]), ("Booking", ["Session", "Team", "Prompt"]),
])  # fmt: skip
def test_details_of_the_first_prompt_say_it_once(started: str, parts: list[str]) -> None:
    """It is the user's, even if the session begins with other words: the name that its block was given."""
    story = Story("s").ask("book " * 500)
    story.entries[0] |= {"prompt": started, "team": "eu"}
    made = judged(story.entries, 0, 1)

    assert (made.title, [part.title for one in made.entries for part in one.parts]) == ("User input", parts)


def test_details_of_a_session_that_began_without_an_input_have_its_prompt() -> None:
    """It is the only one that a client may log."""
    (one,) = judged([Story("s").log("session_start", prompt="Book it")], 0).entries

    assert [(part.title, part.content) for part in one.parts] == [("Prompt", "Book it")]


@pytest.mark.parametrize(("places", "known", "titles"), [
    ((0, 1), {}, ["State update"]),
    ((0, 2, 1), {}, ["ValueError", "State update"]),
    ((0, 1), {"tools": ["search"]}, ["Target component", "State update"]),
    ((1,), {"description": "long " * 50}, ["Target component", "State update"]),
])  # fmt: skip
def test_details_of_a_node_tell_what_it_is_only_beyond_its_names(
    places: tuple[int, ...], known: dict[str, Any], titles: list[str]
) -> None:
    """Its names are in the title and the attributes. Then its error and what it changed, including a `message`."""
    story = Story("s")
    story.leave(story.enter("plan"), "plan", 5)
    for entry in story.entries:
        entry["target_component"] |= known
    story.entries[1]["output_data"] = {"message": "planned", "steps": 2}
    story.log("error", error_info={"error_type": "ValueError", "error_message": "no"})
    made = judged(story.entries, *places)

    assert [part.title for one in made.entries for part in one.parts] == titles


@pytest.mark.parametrize(("history", "parts"), [
    ([TOOL], [("Tool weather", "24 degrees", False), ("To the model", "Rome?", False)]),
    ([ASKED, TOOL], [("User", "Rome?", False), ("Tool weather", "24 degrees", False)]),
    ([ASKED | {"source": "summarization"}, TOOL | {"source": "human"}], [
        ("User (added by summarization)", "Rome?", False), ("Tool weather (added by human)", "24 degrees", False)]),
    ([ASKED | {"content": ["Rome?"]}, TOOL], [("User", "0: Rome?", False), ("Tool weather", "24 degrees", False)]),
    ([{"role": "assistant", "content": ""}, ASKED], [("Assistant", "", False), ("User", "Rome?", False)]),
    ([ASKED, *[TOOL] * 4], [("User", "Rome?", False), ("Tool weather", "24 degrees", True),
                            *[("Tool weather", "24 degrees", False)] * 3]),
    ([ASKED, *[TOOL] * 10], [("User", "Rome?", False), *[("Tool weather", "24 degrees", True)] * 7,
                             *[("Tool weather", "24 degrees", False)] * 3]),
    ([ASKED, *[TOOL] * 11], [("1 earlier message", "Show them", False), ("User", "Rome?", False),
                             *[("Tool weather", "24 degrees", True)] * 7,
                             *[("Tool weather", "24 degrees", False)] * 3]),
])  # fmt: skip
def test_prompt_stands_at_its_place_among_the_messages(history: list[Any], parts: list[tuple[str, str, bool]]) -> None:
    """As the user's, unfolded, however long the history is; if no message is marked as the prompt, it comes last."""
    story = Story("s")
    story.call("Rome?", history=history)
    made = judged(story.entries, 0)

    assert [(part.title, part.content.striptags(), part.folded) for part in made.entries[0].parts] == parts


def test_folded_message_that_asks_for_tools_names_them() -> None:
    """Its calls begin with their ids, as providers write them; a call without a name is shown as logged."""
    calls = [[{"id": "call_1", "name": "search"}, {"id": "call_2", "name": "book"}], [{"id": 3}]]
    story = Story("s")
    asking = [{"role": "assistant", "content": "", "tool_calls": each} for each in calls]
    story.call("Rome?", history=[*asking, *[TOOL] * 3, ASKED])
    made = judged(story.entries, 0)

    assert [(part.title, part.brief) for part in made.entries[0].parts[:2]] == [
        ("Assistant: tool calls", "→ search, book"), ("Assistant: tool calls", '[{"id":3}]'),
    ]  # fmt: skip


@pytest.mark.parametrize(("messages", "end", "parts"), [
    (42, 2, ["Tool weather"]), (42, 1, []), (300, 260, ["59 earlier messages", *["Tool weather"] * 200]),
    (300, 60, ["Tool weather"] * 59),
])  # fmt: skip
def test_earlier_messages_come_piece_by_piece(messages: int, end: int, parts: list[str]) -> None:
    """All before the named message, except the prompt, which is shown from the start."""
    story = Story("s")
    story.call("Rome?", history=[ASKED, *[TOOL] * (messages - 1)])

    assert [part.title for part in earlier(Value(story.entries[0], "1-1"), end)] == parts


def test_whole_text_of_a_part_is_where_its_path_leads() -> None:
    """As the copy button follows the path, also through texts that are JSON."""
    story = Story("said").ask('{"question": "Why?"}')
    story.log("llm_call", 1, llm_call={"history": {"messages": [{"role": "assistant", "tool_calls": [{"name": "x"}]}]}})
    story.log("info", output_data={"message": "hello"})
    story.log("component_exit", output_data={"messages": [{"content": "I"}, {"content": "say"}], "more": 1})
    story.log("routing", routing_type="invoke", input_data={"to": "b"})
    oversight(story, "interrupted", "i", {"question": "May I?"})
    entries = [*sessions.trip(), *sessions.recipe(), *sessions.failed(), *story.end("Because")]
    found = [(entry, part) for entry in entries for part in of_entry(Value(entry, "1-1")) if part.path]

    def led_to(value: Any, path: str) -> Any:
        for key in orjson.loads(path):
            value = (orjson.loads(value) if isinstance(value, str) else value)[key]
        return value

    def told(entry: Any, part: Part) -> str:
        value = led_to(entry, part.path or "")
        return requested_tools(value) if part.title.endswith(": tool calls") else brief(value)

    assert [told(entry, part) for entry, part in found] == [part.brief for _, part in found]
    assert {part.title for _, part in found} >= {
        "System", "User", "Assistant: tool calls", "Reasoning", "Answer", "Arguments", "Result", "Prompt", "Message",
        "Says", "State update", "Routing type", "Input data", "Asked", "Response", "RateLimitError",
    }  # fmt: skip


def test_details_have_the_facts_of_an_entry() -> None:
    """Its path and time, then every number and short text under the name of its group, no structures; and its JSON."""
    story = Story("s")
    long = {"error_message": "x" * 201, "error_type": "ValueError", "tags": ["a"], "error_severity": None}
    story.log("error", 2, "r", name="cook", error_info=long, meta={"retry": True, "model": "m", "parameters": {"n": 1}})
    (shown,) = judged(story.entries, 0).entries

    assert shown.attributes == [
        ("event_id", "s-000001"), ("event_type", "error"), ("prompt_number", "1"), ("turn_number", "2"),
        ("timestamp", f"2026-09-21T14:13:20.000Z ({T0})"), ("error_info.error_type", "ValueError"),
        ("retry", "true"), ("model", "m"), ("parameters.n", "1"), ("trace.run_id", "r"), ("trace.root_run_id", "r"),
        ("trace.name", "cook"),
    ]  # fmt: skip
    assert [(part.title, part.kind, part.content.striptags()[:11]) for part in shown.metadata] == [
        ("meta", "json", "retry: true"),
    ]  # fmt: skip
    assert orjson.loads(shown.raw.unescape()) == story.entries[0]


def test_facts_of_every_group_are_told() -> None:
    """Those of the objects that an entry of any type may have, then those of its `meta`."""
    groups = ("llm_call", "llm_response", "tool_call", "tool_response", "error_info", "performance_metrics",
              "test_result", "target_component")  # fmt: skip
    inner = ("parameters", "trace", "framework", "usage")
    meta = {"n": 0} | {name: {"n": number} for number, name in enumerate(inner)}
    fields = {name: {"n": number} for number, name in enumerate(groups)}
    (one,) = judged([Story("s").log("info", meta=meta, **fields)], 0).entries

    assert one.attributes[5:] == [
        *((f"{name}.n", str(number)) for number, name in enumerate(groups)), ("n", "0"),
        *((f"{name}.n", str(number)) for number, name in enumerate(inner)),
    ]  # fmt: skip


@pytest.mark.parametrize(("calls", "parts"), [
    ({"calls": [{"name": "weather", "args": {"city": "Rome"}}, {"args": "?"}]},
     [("Tool call: weather", "city: Rome"), ("Tool call: tool", "?")]),
    ([{"name": "weather"}], [("Tool calls", "0: name: weather")]), ({"calls": []}, [("Tool calls", "calls: []")]),
])  # fmt: skip
def test_details_of_an_answer_name_the_tools_that_it_asks_for(calls: Any, parts: list[tuple[str, str]]) -> None:
    """In whichever form a client has logged them."""
    story = Story("s")
    story.log("llm_response", 1, llm_response={"response": "", "tool_calls": calls})
    (shown,) = judged(story.entries, 0).entries

    assert [(part.title, " ".join(part.content.striptags().split())) for part in shown.parts] == parts


@pytest.mark.parametrize(("fields", "most", "title"), [
    ({"event_type": "llm_response",
      "llm_response": {"tool_calls": {"calls": [{"name": "search", "args": {}}] * 41}}}, MAX_CALLS, "Tool calls"),
    ({"event_type": "component_exit", "output_data": {"messages": [{"content": "Sorry."}] * 41}}, MAX_WORDS, "Says"),
    ({"event_type": "info"} | {f"field_{number}": number for number in range(41)}, MAX_FIELDS, "Fields"),
])  # fmt: skip
def test_details_say_how_much_they_leave_out(fields: dict[str, Any], most: int, title: str) -> None:
    """Tool calls of an answer, messages of a node, fields of a client's own."""
    last = of_entry(Value(fields, "1-1"))[: most + 1][most:]

    assert [(part.title, part.content.striptags()) for part in last] == [(title, f"… {41 - most} more, see Raw")]
    assert omitted(title, range(most), most) == []


@pytest.mark.parametrize(
    ("history", "path"),
    [([TOOL], ["llm_call", "history", 0]), ({"messages": [TOOL]}, ["llm_call", "history", "messages", 0])],
)
def test_message_is_found_where_it_was_logged(history: Any, path: list[str | int]) -> None:
    """In a list or in an object of messages; the copy button asks for it there."""
    (shown,) = judged([Story("s").log("llm_call", 1, llm_call={"history": history})], 0).entries

    assert [part.path for part in shown.parts] == [orjson.dumps([*path, "content"]).decode()]


@pytest.mark.parametrize(("kind", "block"), [
    ("image", {"type": "image_url", "image_url": {"url": "https://example.org/cat"}}),  # OpenAI
    ("image", {"type": "input_image", "image_url": "https://example.org/cat"}),  # its Responses API
    ("image", {"type": "image", "source": {"type": "url", "url": "https://example.org/cat"}}),  # Anthropic
    *((kind, {"type": kind, "url": "https://example.org/cat"}) for kind in ("image", "audio", "video")),  # LangChain
])  # fmt: skip
def test_images_elsewhere_are_named_by_their_address(kind: str, block: dict[str, Any]) -> None:
    """The question beside one is shown as text, as beside an image that was logged."""
    story = Story("s")
    story.call("What is it?", history=[ASKED | {"content": [{"type": "text", "text": "What is it?"}, block]}])
    (asked,) = judged(story.entries, 0).entries[0].parts

    assert (asked.kind, asked.content) == (
        "text", f'What is it?<div class="chips"><span class="chip">{kind} · https://example.org/cat</span></div>',
    )  # fmt: skip


@pytest.mark.parametrize("value", [
    {"type": "file", "url": "https://example.org/cat.png"}, {"type": {}, "url": "https://example.org"},
    {"url": "https://example.org/cat.png"}, {"type": "image", "url": None}, {"mime": "image/png", "bytes": "many"},
])  # fmt: skip
def test_other_addresses_are_no_images(value: dict[str, Any]) -> None:
    """A tool's results contain addresses of many things."""
    assert media([value]) == []


def test_details_name_images_and_files() -> None:
    """Those that a model was sent, in place of its message's blocks, and those of its response."""
    story = Story("s")
    story.model("What is it?", "A cat.", 5, (1, 1), history=[ASKED | {"content": [IMAGE]}])
    story.entries[-1]["meta"]["blocks"] = [FILE, FILE]
    made = judged(story.entries, 0, 1)
    chips = [(part.title, re.findall(r'<span class="chip">(.*?)</span>', part.content))
             for one in made.entries for part in one.parts]  # fmt: skip

    assert chips == [("User", ["image/png · 175.3 kB"]), ("Answer", []), ("Attached", ["application/pdf · 812 B"])]
    assert re.sub(r"<[^>]+>", "", made.entries[0].parts[0].content) == "image/png · 175.3 kB"


@pytest.mark.parametrize("more", [[], [{"type": "text", "text": "Quickly!"}]], ids=["one text", "two"])
def test_details_show_the_one_text_beside_images_as_text(more: list[dict[str, Any]]) -> None:
    """Not as a tree, as several texts are; what is copied is what is shown."""
    content = [IMAGE, {"type": "text", "text": "What is it?"}, FILE, *more]
    story = Story("s")
    story.call("What is it?", history=[ASKED | {"content": content}])
    (asked,) = judged(story.entries, 0).entries[0].parts
    path: list[Any] = ["llm_call", "history", "messages", 0, "content"]

    assert (asked.kind, asked.path) == (
        ("json", orjson.dumps(path).decode()) if more else ("text", orjson.dumps([*path, 1, "text"]).decode())
    )
    assert re.findall(r'<span class="chip">(.*?)</span>', asked.content) == [
        "image/png · 175.3 kB", "application/pdf · 812 B",
    ]  # fmt: skip
