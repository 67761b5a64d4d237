"""Two sessions side by side: the tools, the failures, the figures and the response of each prompt."""

from __future__ import annotations

import re

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.server.presentation.compare import figures, marked
from coagent_langchain.server.running import Running
from coagent_langchain.server.store.records import Session
from tests.server import sessions
from tests.server.drawing import comparison, drawn, timeline
from tests.server.pages import get, log, shown
from tests.server.story import T0, Story


def test_comparison_names_the_tools_in_their_order() -> None:
    """The tools of each prompt, without those that a tool called."""
    assert [side.tools for side in comparison(sessions.trip())] == [
        ["flight_search", "train_search", "research_agent", "train_search"],
        ["book_train"],
    ]


def test_comparison_counts_calls_of_one_tool_in_a_row() -> None:
    """Forty names of one tool would leave out those of the others."""
    story = Story("s").ask("Rome?")
    for place, name in enumerate(["search", "search", "read", "search"]):
        story.tool(name, {}, "sunny", 5, f"c{place}")

    assert [side.tools for side in comparison(story.entries)] == [["search ×2", "read", "search"]]


@pytest.mark.parametrize(("recovered", "errors"), [(False, ['class="errs"']), (True, [""])])
def test_comparison_has_errors_in_red_only_if_the_prompt_failed(
    running: Running, recovered: bool, errors: list[str]
) -> None:
    """As its row in the timeline."""
    story = Story("s").ask("Rome?")
    run = story.tool_call("search", {}, "c1")
    story.log("error", 1, run, error_info={"error_id": "e-1", "error_type": "TimeoutError"})
    if recovered:
        story.log("recovery", 1, run, error_info={"error_id": "e-1", "recovery_successful": True})
    log(running, story.end("", status="failed"))
    page = get(running, "/compare?s=s&s=s").text

    assert [words.strip() for words in re.findall(r"<span([^>]*)>(?:<svg.*?</svg>)?1 error</span>", page)] == errors * 2


def test_comparison_tells_what_failed_beside_a_branch_that_answered() -> None:
    """Of parallel branches the last to end counts, wherever it began; the tools are in the order of their calls."""
    story = Story("s").ask("Rome?")
    slow = story.tool_call("tickets", {}, "c1")
    story.tool("wiki", {}, "sunny", 5, "c2")
    story.model("Rome?", "Sunny.", 5, (1, 1))
    story.wait(5).log("error", 0, slow, error_info={"error_type": "TimeoutError", "error_message": "no tickets"})
    (side,) = comparison(story.entries)

    assert (side.answer, side.error, side.tools) == ("Sunny.", "TimeoutError: no tickets", ["tickets", "wiki"])


@pytest.mark.parametrize(("recovered", "error"), [(False, "ValueError: no sources"), (True, "")])
def test_comparison_tells_what_failed_before_another_branch_answered(recovered: bool, error: str) -> None:
    """The last of it, as in the details of the prompt; errors that the agent recovered from are only counted."""
    story = Story("s").ask("Rome?")
    for missing in ("index", "sources"):
        node = story.wait(5).enter("cite")
        info = {"error_id": missing, "error_type": "ValueError", "error_message": f"no {missing}"}
        story.log("error", 0, node, story.root, "cite", error_info=info)
        if recovered:
            story.log("recovery", 0, node, story.root, "cite", error_info={"error_id": missing})
        story.leave(node, "cite", 5)
    story.model("Rome?", "Sunny.", 5, (1, 1))
    (side,) = comparison(story.entries)

    assert (side.answer, side.error) == ("Sunny.", error)


def test_comparison_tells_what_failed_last_after_the_answer() -> None:
    """Also inside a node that went on, so that neither it nor its prompt has failed."""
    story = Story("s").ask("Rome?")
    node = story.enter("agent")
    story.model("Rome?", "Sunny.", 5, (1, 1), parent=node)
    for name in ("wiki", "tickets"):
        run = story.wait(5).tool_call(name, {}, name, node)
        story.log("error", 1, run, node, error_info={"error_type": "TimeoutError", "error_message": f"no {name}"})
    story.wait(5).leave(node, "agent", 20)
    (side,) = comparison(story.entries)

    assert drawn(timeline(story.entries))[0] == "prompt Rome? ok"
    assert (side.answer, side.error) == ("Sunny.", "TimeoutError: no tickets")


@pytest.mark.parametrize("earlier", ["", "I will think."])
def test_comparison_tells_that_a_limit_was_reached_before_the_first_word(earlier: str) -> None:
    """By a model that reasons: it looked as if it had not been asked, or as if an earlier answer was all of it."""
    story = Story("s").ask("Soup?")
    story.model("Soup?", earlier, 5, (1, 1))
    story.model("Soup?", "", 5, (1, 900))
    story.entries[-1]["meta"]["finish_reason"] = "length"
    (side,) = comparison(story.entries)

    assert (side.answer, side.cut_off) == (earlier, True)


def test_comparison_leaves_out_calls_without_arguments() -> None:
    """A call that no tool ran for is an answer by what it says."""
    story = Story("s").ask("Menu?")
    calls = [{"name": "Menu", "args": args, "id": str(number)} for number, args in enumerate(({}, {"soup": 4}))]
    story.model("Menu?", "", 5, (1, 1), calls=calls)

    assert [side.answer for side in comparison(story.entries)] == ['{\n  "soup": 4\n}']


def test_comparison_marks_no_words_of_answers_that_have_little_in_common() -> None:
    """Nearly every word would be marked; the spaces between them are not in common."""
    left, right = "It will rain in Rome all day", "Train 5 leaves Madrid in 20 minutes"

    assert [str(side) for side in marked(left, right)] == [f'<p dir="auto">{side}</p>' for side in (left, right)]


def test_comparison_has_the_figures_of_both_sessions() -> None:
    """The difference is the second minus the first; unknown figures have none."""
    one = Session("one", T0, T0 + 1_000, "completed", prompts=1, turns=2, llm_calls=3, tool_calls=4, errors=5,
                  input_tokens=60, output_tokens=7, total_tokens=67, cost=0.25)  # fmt: skip
    two = Session("two", T0, T0 + 1_500, "completed", prompts=1, turns=4, llm_calls=2, tool_calls=5, errors=0,
                  input_tokens=30, output_tokens=8, total_tokens=38, cached_tokens=9, cost=0.5)  # fmt: skip

    assert figures(one, two) == [
        ("Duration", "1.0 s", "1.5 s", "+500 ms (+50%)"), ("Prompts", "1", "1", "same"),
        ("Turns", "2", "4", "+2 (+100%)"), ("Model calls", "3", "2", "−1 (−33%)"),
        ("Tool calls", "4", "5", "+1 (+25%)"), ("Tokens in", "60", "30", "−30 (−50%)"), ("of it cached", "–", "9", ""),
        ("Tokens out", "7", "8", "+1 (+14%)"),
        ("Cost", "$0.2500", "$0.5000", "+$0.2500 (+100%)"), ("Errors", "5", "0", "−5 (−100%)"),
    ]  # fmt: skip


def test_comparison_has_the_first_prompts_alone() -> None:
    """One page of them: a session may have thousands."""
    story = Story("s")
    for number in range(51):
        story.ask(str(number))

    assert [side.prompt for side in comparison(story.entries)] == [str(number) for number in range(50)]


def test_compare_marks_the_words_that_differ() -> None:
    """Removed words on the left, added ones on the right; common words are not marked."""
    assert [str(side) for side in marked("two nights at Ronda", "two nights at <b>Fuster")] == [
        '<p dir="auto">two nights at <del>Ronda</del></p>',
        '<p dir="auto">two nights at <ins>&lt;b&gt;Fuster</ins></p>',
    ]


def test_compare_marks_words_in_long_answers() -> None:
    """Up to the 4,000 characters that are shown of each, however often a word is repeated; not in lists of letters."""
    words = [f"w{100 + number % 50}" for number in range(850)]
    left, right = marked(" ".join(words), " ".join(["last", *words[1:10], "last", *words[11:], "more"]))

    assert (left[:35], left[-10:], right[:35], right[-10:]) == (
        '<p dir="auto"><del>w100</del> w101 ', "w149 …</p>", '<p dir="auto"><ins>last</ins> w101 ', "w149 …</p>",
    )  # fmt: skip
    assert [re.findall("<(?:del|ins)>", side) for side in marked("a " * 1999, "b " + "a " * 1998)] == [[], []]


def test_compare_marks_words_inside_what_markdown_makes_of_them() -> None:
    """No mark spans the beginning of a list item or the end of bold text; JSON stays as it was logged."""
    assert [str(side) for side in marked("Take the **09:12 train**.", "Take:\n\n- the **10:40 train**")] == [
        '<p dir="auto"><del>Take</del> the <strong><del>09:12</del> train</strong><del>.</del></p>',
        '<p dir="auto"><ins>Take:</ins></p><ul dir="auto"><li>the <strong><ins>10:40</ins> train</strong></li></ul>',
    ]
    assert [str(side) for side in marked('{"a": "**1**"}', '{"a": "**2**"}')] == [
        "<pre>{&#34;a&#34;: <del>&#34;**1**&#34;}</del></pre>", "<pre>{&#34;a&#34;: <ins>&#34;**2**&#34;}</ins></pre>",
    ]  # fmt: skip


@pytest.mark.parametrize(("tagged", "told"), [
    ({"a": ["prompt:v1", "user:7"], "b": ["prompt:v2"]}, "Models Tags prompt:v1 user:7 prompt:v2 Duration"),
    ({"a": [], "b": []}, "Models Duration"),
])  # fmt: skip
def test_compare_shows_by_their_tags_which_is_which(running: Running, tagged: dict[str, list[str]], told: str) -> None:
    """For example two versions of a prompt; without tags there is no such row."""
    for session_id, tags in tagged.items():
        log(running, Story(session_id).ask("Pets?", {"context": {"tags": tags}}).entries)

    assert told in shown(running, "/compare?" + "&".join(f"s={session_id}" for session_id in tagged))


@pytest.mark.parametrize(("left", "right", "told"), [
    (0.5, 0.50005, "<$0.0001 more (+0%)"), (0.0002, 0.00015, "<$0.0001 less (−25%)"), (0.5, 0.75, "+$0.2500 (+50%)"),
    (0.5, 0.5, "same"), (0.3, 0.1 + 0.2, "same"), (None, 0.5, ""),
])  # fmt: skip
def test_small_difference_of_costs_is_told_in_words(left: float | None, right: float, told: str) -> None:
    """No sign can precede `<`."""
    first, second = Session("a", 0, 0, cost=left), Session("b", 0, 0, cost=right)

    assert next(figure[-1] for figure in figures(first, second) if figure[0] == "Cost") == told


def test_comparison_tells_what_the_first_model_calls_were_given_differently(running: Running) -> None:
    """After a deployment, that is why the answers differ; nothing is said of what is the same."""
    for name, temperature, tools in (("old", 0.0, ["quote", "refund"]), ("new", 1.6, ["quote"])):
        story = Story(name).ask("Hi")
        story.call("Hi", system="Be brief.")
        story.entries[-1]["meta"] |= {"temperature": temperature, "parameters": {"top_p": 1}, "tools_offered": tools}
        log(running, story.entries)
    html = get(running, "/compare?s=old&s=new").text
    folded = re.findall(r'<details class="fold"><summary><b>(.+?)</b>(.+?)</details>', html, re.DOTALL)

    assert [(name, re.findall(r"<(?:ins|del)>.+?</", rest)) for name, rest in folded] == [
        ("Parameters", ["<del>0.0</", "<ins>1.6</"]), ("Tools offered", ["<del>· refund</"]),
    ]  # fmt: skip
    log(running, Story("silent").ask("Hi").entries)
    answered = Story("answered").ask("Hi")
    answered.log("llm_response", 1, answered.run(), answered.root, llm_response={"response": "Hello"})
    log(running, answered.entries)
    same = [get(running, f"/compare?s=old&s={other}").text for other in ("old", "silent", "answered")]
    assert ["<details" in each for each in same] == [False, False, False]


def test_cached_tokens_are_told_only_if_there_are_any(running: Running) -> None:
    """Many providers report none: no line of the comparison, and no colour in the key of the chart."""
    plain = Story("plain").ask("Hi")
    plain.model("Hi", "Hello", 5, (3, 1))
    del plain.entries[-1]["meta"]["usage"]
    log(running, plain.entries + sessions.trip("trip"))
    paths = ("/compare?s=plain&s=plain", "/compare?s=plain&s=trip", "/view/overview/=plain", "/view/overview/=trip")

    assert [re.findall("of it cached|cached input", shown(running, path)) for path in paths] == [
        [], ["of it cached"], [], ["cached input"],
    ]  # fmt: skip


def test_reported_zero_is_no_unknown_number(running: Running) -> None:
    """In the list, in the header, in the table of models and in a comparison: `0` and `–`."""
    reported, silent = Story("reported", T0 + 1).ask("Hi"), Story("silent").ask("Hi")
    reported.model("Hi", "", 5, (0, 0))
    silent.model("Hi", "", 5, (0, 0))
    answer = silent.entries[-1]
    del answer["llm_response"]["input_tokens"], answer["llm_response"]["output_tokens"], answer["meta"]["usage"]
    del answer["performance_metrics"]
    log(running, reported.end("") + silent.end(""))
    rows = re.findall(r'data-unit="tokens">(.*?)<.*?1440">(.*?)<', get(running, "/").text, re.DOTALL)
    heads = [re.findall(r"<dt>(?:Tokens (?:in|out)|Cost)</dt><dd>(.*?)<", get(running, f"/view/head/={name}").text)
             for name in ("reported", "silent")]  # fmt: skip
    models = [shown(running, f"/view/overview/={name}").split()[-2:] for name in ("reported", "silent")]
    compared = shown(running, "/compare?s=reported&s=silent")

    assert rows == [("0", "0"), ("–", "–")]
    assert heads == [["0", "0", "$0.00"], ["–", "–", "–"]]
    assert models == [["0", "$0.00"], ["–", "–"]]
    assert "Tokens in 0 – of it cached 0 – Tokens out 0 – Cost" in compared
    assert re.findall(r"(\S+ → \S+) tokens", compared) == ["0 → 0", "– → –"]


def test_tokens_of_which_only_the_sum_is_reported_are_shown(running: Running) -> None:
    """In the list, in the header, in a comparison and as Markdown: `–` is only for what is not reported."""
    split, whole = Story("split", T0 + 1).ask("Hi"), Story("whole").ask("Hi")
    split.model("Hi", "Hello", 5, (9, 1))
    whole.log("llm_response", 1, llm_response={"response": "Hello", "total_tokens": 1200})
    log(running, split.end("") + whole.end(""))
    rows = re.findall(r'data-unit="tokens">(.*?)<.*?1440">(.*?)<', get(running, "/").text, re.DOTALL)
    heads = [re.findall(r"<dt>(Tokens.*?)</dt><dd>(.*?)<", get(running, f"/view/head/={name}").text)
             for name in ("split", "whole")]  # fmt: skip

    assert rows == [("10", "1"), ("1,200", "–")]
    assert heads == [
        [("Tokens in", "9"), ("Tokens out", "1")], [("Tokens", "1,200"), ("Tokens in", "–"), ("Tokens out", "–")],
    ]  # fmt: skip
    assert "Tokens 10 1,200 +1,190 (+11,900%) Tokens in 9 – of" in shown(running, "/compare?s=split&s=whole")
    assert "- Tokens: 1,200\n- Tokens in, out: –, –\n" in get(running, "/export/whole?format=md").text


def test_cost_says_which_calls_it_leaves_out(running: Running) -> None:
    """In the list, in the header, in a comparison, as Markdown and in the terminal; nowhere if all have a price."""
    some, every = Story("some", T0 + 1).ask("Hi"), Story("every").ask("Hi")
    for story in (some, every):
        story.model("Hi", "Hello", 5, (9, 1))
        story.entries[-1]["performance_metrics"] = {"cost": 0.02}
    some.model("Hi", "Hello again", 5, (9, 1))
    some.entries[-1].pop("performance_metrics", None)
    log(running, some.end("") + every.end(""))
    told = "1 call without a price"
    rows = re.findall(r'<td class="num from-1100"( title="[^"]*")?>(\$.*?)<', get(running, "/").text)
    heads = [re.search(r"<dt>Cost</dt><dd>(.*?)</dd>", get(running, f"/view/head/={name}").text)[1]
             for name in ("some", "every")]  # fmt: skip
    lines = [re.search("- Cost: (.*)", get(running, f"/export/{name}?format=md").text)[1]
             for name in ("some", "every")]  # fmt: skip
    with CoagentClient(running.base_url) as client:
        facts = [client.session(name).facts[-2:] for name in ("some", "every")]

    assert rows == [(f' title="{told}"', "$0.0200+"), ("", "$0.0200")]
    assert heads == [f"$0.0200 <small>{told}</small>", "$0.0200"]
    assert "Calls without a price 1 0 " in shown(running, "/compare?s=some&s=every")
    assert "Calls without a price 0 1 " in shown(running, "/compare?s=every&s=some")
    assert lines == [f"$0.0200, {told}", "$0.0200"]
    assert facts == [["$0.0200", told], ["9→1 tokens", "$0.0200"]]


def test_compare_puts_prompts_side_by_side(running: Running) -> None:
    """What the user said, not the session's title; what failed; and which prompt the other session lacks."""
    story = Story("one").ask("Weather in Rome?")
    story.entries[0]["prompt"] = "Weather"
    story.model("Weather in Rome?", "I will look.", 5, (1, 1))
    run = story.ask("And in Pisa?").call("And in Pisa?")
    story.log("error", 1, run, error_info={"error_id": "e", "error_type": "RateLimitError", "error_message": "later"})
    log(running, story.entries)
    log(running, Story("two").ask("Weather in Rome?").entries)
    prompts = shown(running, "/compare?s=one&s=two").partition("Prompt 1")[2].partition("Keyboard")[0]

    assert prompts.strip() == (
        "First: one Weather in Rome? 8 ms 1 turn 1 → 1 tokens I will look. "
        "Second: two Weather in Rome? 0 ms 0 turns – → – tokens No answer "
        "Prompt 2 First: one And in Pisa? 3 ms 1 turn – → – tokens 1 error RateLimitError: later "
        "Second: two This session has no prompt 2."
    )
    assert '<div class="text prose"></div>' not in get(running, "/compare?s=one&s=two").text  # it would leave a gap


def test_compare_says_that_a_prompt_was_stopped(running: Running) -> None:
    """Its answer is then that of an earlier call, or the beginning of one."""
    story = Story("one").ask("Soup?")
    story.model("Soup?", "Leek,", 5, (1, 1), outcome="abandoned")
    log(running, story.entries)
    log(running, Story("two").ask("Soup?").end("", "cancelled"))
    prompts = shown(running, "/compare?s=one&s=two").partition("Prompt 1")[2].partition("Keyboard")[0]

    assert prompts.strip() == (
        "First: one Soup? 8 ms 1 turn 1 → 1 tokens abandoned Leek, "
        "Second: two Soup? 3 ms 0 turns – → – tokens cancelled No answer"
    )


def test_compare_says_that_an_answer_was_cut_off(running: Running) -> None:
    """At a limit of tokens: otherwise the words that it lacks look like a change of the model's mind."""
    story = Story("one").ask("Soup?")
    story.model("Soup?", "Leek,", 5, (1, 1))
    story.entries[-1]["meta"]["finish_reason"] = "length"
    log(running, story.entries)
    other = Story("two").ask("Soup?")
    other.model("Soup?", "Leek, salt.", 5, (1, 2))
    log(running, other.entries)
    prompts = shown(running, "/compare?s=one&s=two").partition("Prompt 1")[2].partition("Keyboard")[0]

    assert prompts.strip() == (
        "First: one Soup? 8 ms 1 turn 1 → 1 tokens cut off Leek, Second: two Soup? 8 ms 1 turn 1 → 2 tokens Leek, salt."
    )


@pytest.mark.parametrize(
    ("prompts", "told"),
    [(50, ""), (51, "1 more prompt not compared"), (53, "3 more prompts not compared")],
)
def test_compare_says_that_later_prompts_are_left_out(running: Running, prompts: int, told: str) -> None:
    """It compares the first fifty."""
    story = Story("long")
    for number in range(prompts):
        story.ask(f"Question {number}")
    log(running, [*story.entries, *sessions.recipe("recipe")])
    page = shown(running, "/compare?s=recipe&s=long")

    assert re.findall(r"\d+ more prompts? not compared", page) == ([told] if told else [])
    assert ("Prompt 50" in page, "Prompt 51" in page) == (True, False)


def test_compare_asks_for_what_is_missing(three: Running) -> None:
    """With one session or none, the page asks for two; of an unknown one, it says so."""
    for path in ("/compare", "/compare?s=&s=", "/compare?s=recipe"):
        assert "Choose two, or enter their ids." in get(three, path).text
    assert "There is no session nope." in get(three, "/compare?s=recipe&s=nope").text


def test_compare_offers_recent_sessions_as_the_second(three: Running) -> None:
    """Links to the comparison with each other session, the latest first; if none is chosen, links that choose one."""
    assert re.findall(r'href="(/compare\?[^"]*)"', get(three, "/compare").text) == [
        "/compare?s=live", "/compare?s=broken", "/compare?s=recipe",
    ]  # fmt: skip
    assert re.findall(r'href="(/compare\?[^"]*)"', get(three, "/compare?s=recipe").text) == [
        "/compare?s=recipe&amp;s=live", "/compare?s=recipe&amp;s=broken",
    ]  # fmt: skip
