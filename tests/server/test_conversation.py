"""The conversation of a session: who said what, and what is shown only once."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import orjson
import pytest

from coagent_langchain.server.presentation.blocks import media
from coagent_langchain.server.presentation.contents import of_entry
from coagent_langchain.server.presentation.conversation import MAX_CALLS
from coagent_langchain.server.presentation.event_summary import summarize
from coagent_langchain.server.presentation.prose import prose
from coagent_langchain.server.presentation.values import Value
from coagent_langchain.server.running import Running
from tests.server.drawing import ASKED, FILE, IMAGE, comparison, conversation, judged, oversight, timeline
from tests.server.pages import get, log
from tests.server.story import T0, Story


def test_what_a_node_says_itself_is_an_answer() -> None:
    """In its row, in Conversation after the node's calls, in the details and as the answer in a comparison."""
    story = Story("s").ask("Rome?")
    node = story.enter("guard")
    story.model("Is it allowed?", "No.", 5, (1, 1), parent=node)
    said = [{"role": "assistant", "content": words} for words in ("Sorry.", "", "I may **not**.")]
    story.leave(node, "guard", 9, output_data={"messages": said})
    shown = [(item.title, item.content.striptags()) for item in conversation(story.entries)]
    details = judged(story.entries, len(story.entries) - 1)

    assert [bar.note for bar in timeline(story.entries).roots[0].children] == ["Sorry. · I may **not**."]
    assert shown[-3:] == [("agent", "No."), ("guard", "Sorry."), ("guard", "I may not.")]
    assert [part.title for part in details.entries[-1].parts] == ["Says", "Says", "State update"]
    assert [side.answer for side in comparison(story.entries)] == ["I may **not**."]


def test_call_that_no_tool_ran_for_is_an_answer() -> None:
    """Structured output, in Conversation and as the prompt's answer in a comparison; a call of a tool is shown once."""
    story = Story("s").ask("Soup?")
    asked = [{"name": "search", "args": {"query": "soup"}, "id": "1"}]
    story.model("Soup?", "", 5, (1, 1), calls=asked)
    story.tool("search", {"query": "soup"}, "hot", 5, "1")
    story.model("Soup?", "", 5, (1, 1), calls=[{"name": "Recipe", "args": {"minutes": 20}, "id": "2"}])
    made = conversation(story.entries)
    told = [(item.kind, item.title, item.content.striptags()) for item in made[2:]]

    assert told == [("tool", "search", ""), ("answer", "agent", "→ Recipeminutes: 20")]
    assert [side.answer for side in comparison(story.entries)] == ['{\n  "minutes": 20\n}']


def test_call_whose_arguments_are_no_json_object_is_told_apart() -> None:
    """No tool runs for it, and an agent may stop there without a word: in its row, Conversation and details."""
    story = Story("s").ask("Rome?")
    story.model("Rome?", "", 5, (1, 1), calls=[{"name": "weather", "args": '{"city": "Ro', "id": "1", "invalid": True}])
    (bar,) = timeline(story.entries).models
    parts = [part.title for one in judged(story.entries, len(story.entries) - 1).entries for part in one.parts]
    told = [bar.note, conversation(story.entries)[-1].content.striptags(), *parts]

    assert told == [
        "→ weather (arguments are not a JSON object)",
        '→ weather (arguments are not a JSON object){"city": "Ro',
        "Tool call: weather (arguments are not a JSON object)",
    ]


def test_conversation_says_how_many_calls_of_an_answer_it_leaves_out() -> None:
    """Of those that no tool ran for; a comparison has all of them."""
    calls = [{"name": "Person", "args": {"age": age}, "id": f"{age}"} for age in range(MAX_CALLS + 14)]
    story = Story("s").ask("Who?")
    story.model("Who?", "", 5, (1, 1), calls=[{"name": "search", "args": {}, "id": "x"}, *calls])
    story.tool("search", {}, "everybody", 5, "x")
    answer = conversation(story.entries)[2].content.striptags()

    assert answer.removeprefix("".join(f"→ Personage: {age}" for age in range(MAX_CALLS))) == "… 14 more, see Raw"
    assert comparison(story.entries)[0].answer.count("age") == len(calls)


def test_long_argument_of_such_a_call_is_fetched_from_its_place() -> None:
    """The button names the entry and the place in it, as everywhere."""
    story = Story("s").ask("Soup?")
    calls = [{"name": name, "args": {"text": "x" * 3_000}, "id": name} for name in ("Recipe", "Menu")]
    story.model("Soup?", "", 5, (1, 1), calls=calls)
    (*_, answer) = conversation(story.entries)

    assert [json.loads(html.unescape(path)) for path in re.findall('data-path="(.*?)"', answer.content)] == [
        ["llm_response", "tool_calls", "calls", place, "args", "text"] for place in (0, 1)
    ]


@pytest.mark.parametrize(("fields", "path"), [
    ({"prompt": "x" * 3_000}, ["prompt"]), ({"input_data": {"prompt": "x" * 3_000}}, ["input_data", "prompt"]),
])  # fmt: skip
def test_long_prompt_is_fetched_from_the_place_where_it_is(fields: dict[str, Any], path: list[str]) -> None:
    """A client may log it in either. The beginning is shown."""
    (*_, user) = conversation([Story("s").log("user_input", **fields)])

    assert user.content.striptags() == "x" * 2_000 + "Show more of 3.0 kB"
    assert [json.loads(html.unescape(found)) for found in re.findall('data-path="(.*?)"', user.content)] == [path]


@pytest.mark.parametrize(("prompt", "shown"), [
    ('{"topic":"soup","done":[]}', "topic: soup"), ('{"topics":[],"done":{}}', "topics: []done: {}"),
])  # fmt: skip
def test_empty_inputs_of_a_prompt_are_shown_only_if_all_are_empty(prompt: str, shown: str) -> None:
    """The beginning of a graph's state may be empty."""
    (_, user) = conversation(Story("s").ask(prompt).entries)

    assert user.content.striptags() == shown


def test_reasoning_is_folded_below_the_answer() -> None:
    """Also if the model said nothing else, as before a tool call; in the details it is folded above it."""
    story = Story("s").ask("Rain?")
    for said, reasoning in (("", "I need the radar."), ("No.", "It is dry."), ("Bye.", "")):
        story.model("Rain?", said, 5, (1, 1), reasoning=reasoning)
    made = conversation(story.entries)

    assert [(item.content.striptags(), [(part.title, part.content) for part in item.parts]) for item in made[2:]] == [
        ("", [("Reasoning", "I need the radar.")]), ("No.", [("Reasoning", "It is dry.")]), ("Bye.", []),
    ]  # fmt: skip
    assert [(part.title, part.folded) for part in judged(story.entries, 5).entries[0].parts] == [
        ("Reasoning", True), ("Answer", False),
    ]  # fmt: skip


def test_answer_without_words_has_the_tools_that_it_asks_for_in_any_form() -> None:
    """As in CoAgent's reference: it is unknown which of them ran, so they are shown in the answer."""
    story = Story("s").ask("Rain?")
    story.log("llm_response", 1, llm_response={"response": "", "tool_calls": {"tools_used": ["radar"]}})
    (*_, answer) = conversation(story.entries)

    assert (answer.kind, answer.content) == ("answer", "")
    assert [(part.title, part.brief) for part in answer.parts] == [("Tool calls", '{"tools_used":["radar"]}')]


def test_answer_of_a_client_without_run_ids_moves_no_prompt() -> None:
    """What follows it in the next prompt belongs there: two entries without a run id are not joined by that."""
    story = Story("s").ask("Book it")
    for status, value in (("interrupted", "Really?"), ("resumed", "yes")):
        story.log("human_oversight", 1, meta={"status": status}, input_data={"value": value})
    story.ask("And back?").log("llm_response", 1, llm_response={"response": "Booked."})

    assert [[bar.kind for bar in prompt.children] for prompt in timeline(story.entries).roots] == [["human"], ["model"]]


@pytest.mark.parametrize(("status", "title"), [
    ("interrupted", "Waiting for a human"), ("resumed", "Human"), ("approved", "Approved"), (None, "Human"),
])  # fmt: skip
def test_human_is_named_by_what_was_done(status: str | None, title: str) -> None:
    """By the status that another client gives, too."""
    story = Story("s").ask("Book it")
    story.log("human_oversight", 1, meta={"status": status}, input_data={"value": "yes"})
    (*_, human) = conversation(story.entries)

    assert human.title == title


@pytest.mark.parametrize(("kind", "fields", "note", "parts"), [
    ("user_input", {"input_data": {"prompt": "Rome?"}}, "Rome?", [("Prompt", "Rome?")]),
    ("info", {"message": "on its way"}, "on its way", [("Message", "on its way")]),
    ("warning", {"prompt": "late"}, "late", [("Prompt", "late")]),
    ("debug", {"output_data": {"message": "off", "step": 3}}, "off", [("Message", "off"), ("Output data", "step: 3")]),
    ("human_oversight", {"input_data": {"interrupt_id": "i", "asked": "Book it?"}}, "asked: Book it?",
     [("Input data", "interrupt_id: iasked: Book it?")]),
])  # fmt: skip
def test_what_other_clients_say_elsewhere_is_read(
    kind: str, fields: dict[str, Any], note: str, parts: list[tuple[str, str]]
) -> None:
    """The reference names no field for a message; a prompt may be in only one of its two places."""
    entry = {"event_type": kind, "timestamp": T0, "prompt_number": 1, "turn_number": 0, **fields}
    made = conversation([entry])

    assert summarize(1, entry).note == note
    assert [(part.title, part.content.striptags()) for part in of_entry(Value(entry, "1-1"))] == parts
    assert [item.content.striptags() for item in made if item.content] == (
        [note] if kind in ("user_input", "warning", "human_oversight") else []
    )


def test_question_of_a_tool_stands_after_it_and_not_in_it_as_well() -> None:
    """A question to a human must be visible without unfolding anything."""
    story = Story("s").ask("Book it")
    run = story.tool_call("book", {"train": "AVE"}, "c1")
    given = {"interrupt_id": "i", "value": "Really?"}
    story.log("human_oversight", 0, run, story.root, "book", meta={"status": "interrupted"}, input_data=given)
    made = conversation(story.entries)

    assert [(item.kind, item.title, item.inner) for item in made[2:]] == [
        ("tool", "book", []), ("human", "Waiting for a human", []),
    ]  # fmt: skip


def test_conversation_says_how_much_inside_a_tool_it_leaves_out() -> None:
    """It shows thirty calls of an agent, and three agents inside each other; the timeline has all of them."""
    story = Story("s").ask("Go")
    wide, deep = story.tool_call("wide", {}, "w"), ""
    for number in range(31):
        story.tool("map", {}, "here", 5, f"m{number}", wide)
    for level in range(5):
        deep = story.tool_call(f"level {level}", {}, f"l{level}", deep)
    *_, tool, nested = conversation(story.entries)
    told = [(tool.title, len(tool.inner), tool.left_out)]
    for _ in range(4):
        told.append((nested.title, len(nested.inner), nested.left_out))
        nested = (nested.inner or [nested])[0]

    assert told == [("wide", 30, 1), *((f"level {level}", 1, 0) for level in range(3)), ("level 3", 0, 1)]


def test_conversation_names_images_and_files() -> None:
    """A prompt's once, though each turn sends them again, and an answer's; even if there is no text."""
    story = Story("s").ask("What is it?")
    asked = [ASKED | {"content": [{"type": "text", "text": "What is it?"}, IMAGE, FILE]}]
    for answer in ("A cat.", ""):
        story.model("What is it?", answer, 5, (1, 1), history=asked)
    story.entries[-1]["meta"]["blocks"] = [IMAGE]
    earlier_one = {"role": "user", "content": asked[0]["content"]}
    story.ask("And now?").model("And now?", "Two.", 5, (1, 1), history=[earlier_one, ASKED | {"content": "And now?"}])
    made = conversation(story.entries)
    chips = [(item.title, re.findall(r'<span class="chip">(.*?)</span>', item.content)) for item in made]

    assert chips == [
        ("Prompt 1", []), ("User", []), ("Attached", ["image/png · 175.3 kB", "application/pdf · 812 B"]),
        ("agent", []), ("agent", ["image/png · 175.3 kB"]), ("Prompt 2", []), ("User", []), ("agent", []),
    ]  # fmt: skip


def test_equal_images_are_named_once_and_others_are_not() -> None:
    """They differ by their content, though type and size are the same."""
    others = [{"type": "image", "base64": IMAGE["base64"] | {"sha256": digest}} for digest in ("bb", "cc")]

    assert media([IMAGE, others[0], IMAGE, others[1]]) == ["image/png · 175.3 kB"] * 3


def test_conversation_names_the_images_of_a_prompt_without_words() -> None:
    """Once, as what the user said: not the JSON that the handler logs in place of text."""
    prompt = orjson.dumps([IMAGE]).decode()
    story = Story("s").ask(prompt)
    story.model(prompt, "A cat.", 5, (1, 1), history=[ASKED | {"content": [IMAGE]}])
    made = conversation(story.entries)

    assert [(item.title, re.sub(r"<[^>]+>", "", item.content).strip()) for item in made] == [
        ("Prompt 1", ""), ("User", "image/png · 175.3 kB"), ("agent", "A cat."),
    ]  # fmt: skip


@pytest.mark.parametrize(("reason", "told"), [
    ("not captured", "content not captured"), ("redact failed", "content left out: redact failed"),
])  # fmt: skip
def test_conversation_says_that_an_answer_was_left_out(reason: str, told: str) -> None:
    """Otherwise a session logged without content would show no answers, and no model calls with their figures."""
    story = Story("s").ask("")
    story.model("", "", 5, (1, 1))
    story.entries[-1]["meta"]["content"] = reason
    made = conversation(story.entries)

    assert [(item.kind, item.title, item.content) for item in made] == [
        ("rule", "Prompt 1", ""),
        ("answer", "agent", f'<p class="muted">{told}</p>'),
    ]


def test_conversation_says_for_what_langchain_itself_called_a_model() -> None:
    """A middleware's answer is not the agent's."""
    story = Story("s").ask("Rome?")
    story.model("Which tools?", "weather", 5, (1, 1))
    next(each for each in story.entries if each["event_type"] == "llm_call")["meta"]["source"] = "tool_selection"
    made = conversation(story.entries)

    assert [item.title for item in made] == ["Prompt 1", "User", "To the model", "agent (tool_selection)"]


def test_conversation_folds_what_is_long_but_not_the_users_words() -> None:
    """A middleware may send a model the whole conversation, to summarize it: what was said must still be found."""
    story = Story("s").ask("Go on " * 300)
    story.model("Summarize: " + "word " * 300, "Short.", 5, (1, 1))
    made = [item for item in conversation(story.entries) if item.kind == "user"]

    assert [(item.title, [(part.title, part.brief[:15]) for part in item.parts]) for item in made] == [
        ("User", []),
        ("To the model", [("1,511 characters", "Summarize: word")]),
    ]


def test_answer_of_a_human_is_not_repeated_as_sent_to_the_model() -> None:
    """A node that asks often passes on the answer as a message; other words are shown."""
    story = Story("s").ask("Write to all")
    oversight(story, "interrupted", "i-1", "Send it?")
    oversight(story, "resumed", "i-1", "Add an address")
    for prompt in ("Add an address", "Be polite", "Add an address"):
        story.model(prompt, "Done.", 5, (1, 1))
    titles = [item.title for item in conversation(story.entries)]

    assert titles == ["Prompt 1", "User", "A human was asked", "Human", "agent", "To the model", "agent",
                      "To the model", "agent"]  # fmt: skip


def test_conversation_shows_a_prompt_that_is_asked_again() -> None:
    """The same words in another prompt are not omitted."""
    story = Story("s")
    for _ in range(2):
        story.ask("Go on").model("Go on", "Done.", 5, (1, 1))
    made = conversation(story.entries)

    assert [item.title for item in made] == ["Prompt 1", "User", "agent", "Prompt 2", "User", "agent"]


@pytest.mark.parametrize(("logged", "user", "compared"), [
    ([{"prompt": "Book Rome"}], [("User", "Book Rome")], "Book Rome"),
    ([{"meta": {"content": "not captured"}}], [], "content not captured"), ([], [("User", "TITLE")], "TITLE"),
])  # fmt: skip
def test_title_of_a_session_stands_for_the_user_only_where_no_input_is_logged(
    logged: list[dict[str, Any]], user: list[tuple[str, str]], compared: str
) -> None:
    """In Conversation and in a comparison, however many blocks with the title the prompt has."""
    story = Story("s")
    for event_type, fields in (("session_start", {"prompt": "TITLE"}), *(("user_input", each) for each in logged),
                               ("session_start", {"prompt": "TITLE"})):  # fmt: skip
        story.log(event_type, **fields)
    said = [(item.title, item.content.striptags()) for item in conversation(story.entries)]

    assert said == [("Prompt 1", ""), *user]
    assert [side.prompt for side in comparison(story.entries)] == [compared]


def test_answer_reads_as_prose_wherever_it_stands(running: Running) -> None:
    """In the details of its call and of the session's end, in the conversation, and in a comparison."""
    said = "Take the **09:12**:\n\n- to *Atocha*"
    for session_id in ("one", "two"):
        story = Story(session_id).ask("When?")
        story.model("When?", said, 5, (1, 1))
        log(running, story.end(said))
    at = {entry["event_type"]: f"{entry['timestamp']}-{seq}" for seq, entry in enumerate(story.entries[:4], 6)}
    at["session_end"] = f"{story.entries[4]['timestamp']}-10"
    pages = (f"/view/detail/=two?e={at['llm_response']}", f"/view/detail/=two?e={at['session_end']}",
             "/view/conversation/=two", "/compare?s=one&s=two")  # fmt: skip

    assert [str(prose(said)) in get(running, page).text for page in pages] == [True] * 4


REQUEST = {"action_requests": [{"name": "book_train", "args": {"seats": 2}}]}

REFUSAL = {"decisions": [{"type": "reject", "message": "too dear"}]}


@pytest.mark.parametrize(
    ("asked", "answered", "read"),
    [
        ("Book it?\nNow?", "yes", ["Book it?\nNow?", "yes"]),
        ({"question": "Book it?", "price": 12}, True, ["Book it?", "Asked", "true"]),
        ({"question": "x" * 2_001}, True, ["x" * 2_000 + "…", "Asked", "true"]),
        (REQUEST, REFUSAL, ["book_train(seats: 2)", "Asked", "reject: too dear", "Answered"]),
        ({"price": 12}, {"pay": False}, ["price: 12", "pay: false"]),
        (None, None, []),
    ],
)
def test_conversation_has_question_and_answer_in_words(
    running: Running, asked: object, answered: object, read: list[str]
) -> None:
    """Not folded, the answer as a human's; the underlying value is folded below."""
    story = Story("s").ask("book")
    for status, value in (("interrupted", asked), ("resumed", answered)):
        given = {"interrupt_id": "i-1", "value": value}
        story.log("human_oversight", 1, story.root, meta={"status": status}, input_data=given)
    log(running, story.entries)
    page = get(running, "/view/conversation/=s").text.partition("A human was asked")[2]
    read_first, folded = r'<div class="text">(.*?)</div>(?:</div></div>)?(?=<|\n)', "<summary><b>(.*?)</b>.*?</details>"
    found = re.findall(f"{read_first}|{folded}", page, re.DOTALL)

    assert "<h3>Human</h3>" in page
    assert [re.sub(r"<[^>]+>", "", text or fold) for text, fold in found] == read


def test_what_is_folded_begins_with_what_is_in_it(running: Running) -> None:
    """An interrupt's question in the conversation as compact JSON, a history's tool calls in the details by name."""
    story = Story("s").ask("book")
    asked = {"interrupt_id": "i-1", "value": {"question": "Book it?", "price": 12}}
    story.log("human_oversight", 1, story.root, meta={"status": "interrupted"}, input_data=asked)
    calls = [{"name": "weather", "args": {"city": "Rome"}}]
    said = [{"role": role, "content": role} for role in ("tool", "assistant")]
    story.model("hi", "ho", 5, (1, 1), history=[{"role": "assistant", "content": "", "tool_calls": calls}, *said])
    log(running, story.entries)
    call = story.entries[-2]
    pages = ("conversation/=s", f"detail/=s?e={call['timestamp']}-{len(story.entries) - 1}")

    assert [html.unescape(found) for path in pages for found in
            re.findall(r"<summary><b>[^<]*</b><span>(.*?)</span>", get(running, f"/view/{path}").text)] == [
        '{"question":"Book it?","price":12}', '→ weather',
    ]  # fmt: skip
