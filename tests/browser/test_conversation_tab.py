"""The Conversation tab while a session is running: what is being read stays unchanged, and new items appear."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.browser.pages import CUT, follow, talk, visit
from tests.server.story import Story


def answers(page: Page) -> list[str]:
    """The model's responses, from top to bottom."""
    return page.locator("#conversation .answer .text").all_text_contents()


def test_news_leave_alone_what_is_read(page: Page, post: Post) -> None:
    """Selection, loaded rest of a long text, unfolded items and focus stay; an open call gets its response."""
    story = Story("live", now_ms() - 60_000).ask("Write")
    story.model("Write", CUT, 5, (1, 1))
    story.tool("track", {"id": "9Z-118"}, "here", 5, "c1")
    run = story.call("Write")
    post(story.news())
    follow(page, "/sessions/live?tab=conversation")
    page.click("#conversation [data-more]")
    expect(page.locator("#conversation [data-more]")).to_have_count(0)
    page.locator("#conversation summary").click()
    page.locator("#conversation .user .text").select_text()
    story.wait(100).answer(run, "Done.", 100, (1, 1))
    post(story.news())
    expect(page.locator("#conversation .answer .text").last).to_have_text("Done.")

    assert [len(text) for text in answers(page)] == [len(CUT), 5]
    assert page.evaluate("String(getSelection())") == "Write"
    expect(page.locator("#conversation details[open]")).to_have_count(1)
    expect(page.locator("#conversation summary")).to_be_focused()


def test_sub_agent_grows_inside_its_unfolded_tool(page: Page, post: Post) -> None:
    """New content of a running tool is appended to what is already shown."""
    story = Story("live", now_ms() - 60_000).ask("Plan")
    tool = story.tool_call("research", {"topic": "hotels"}, "c1")
    story.model("hotels", CUT, 5, (1, 1), parent=tool)
    post(story.news())
    follow(page, "/sessions/live?tab=conversation")
    page.locator("#conversation > details > summary").click()
    page.click("#conversation .inner [data-more]")
    expect(page.locator("#conversation [data-more]")).to_have_count(0)
    story.model("hotels", "Two.", 5, (1, 1), parent=tool)
    post(story.news())
    expect(page.locator("#conversation .inner .answer")).to_have_count(2)

    assert [len(text) for text in answers(page)] == [len(CUT), 4]
    expect(page.locator("#conversation > details[open]")).to_have_count(1)


def test_conversation_goes_on_at_its_end_when_further_pages_were_loaded(page: Page, post: Post) -> None:
    """A reader at the end gets new items, even if they begin another page."""
    story = talk(25)  # two items each; a page has 40
    post(story.news())
    follow(page, "/sessions/live?tab=conversation")
    page.click("#conversation [data-next]")
    expect(page.locator("#conversation .answer")).to_have_count(25)
    for number in range(25, 45):
        story.ask(f"Question {number}")
        story.model(f"Question {number}", f"Answer {number}", 5, (1, 1))
    post(story.news())
    expect(page.locator("#conversation .answer")).to_have_count(45)

    assert answers(page) == [f"Answer {number}" for number in range(45)]
    expect(page.locator("#conversation [data-next]")).to_have_count(0)


def test_news_do_not_load_what_was_not_asked_for(page: Page, post: Post) -> None:
    """A reader on the first page stays there, and the button is updated with the number of further items."""
    story = talk(25)
    post(story.news())
    follow(page, "/sessions/live?tab=conversation")
    expect(page.locator("#conversation [data-next]")).to_have_text("Show more (10 left)")
    story.ask("Question 25")
    post(story.news())

    expect(page.locator("#conversation [data-next]")).to_have_text("Show more (11 left)")
    expect(page.locator("#conversation .answer")).to_have_count(20)


def test_error_names_no_duration(page: Page, post: Post) -> None:
    """An error is a moment in time; only a call that failed has a duration."""
    story = Story("s").ask("Go")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no", "stack_trace": "Traceback\n" * 40}
    story.log("error", error_info=info)
    run = story.call("Go")
    story.wait(40).log("error", 1, run, error_info=info)
    post(story.entries)
    visit(page, "/sessions/s?tab=conversation")
    page.locator("#conversation .failed").first.wait_for()
    heads = page.locator("#conversation .failed .who").all_inner_texts()
    summaries = page.locator("#conversation summary").evaluate_all("all => all.map((each) => each.offsetHeight < 32)")

    assert [head.split("\n")[:-1] for head in heads] == [["ValueError"], ["agent", "gemma3:4b", "40 ms"]]
    assert summaries == [True, True]  # one line each


def test_conversation_and_details_print_whole(page: Page, post: Post) -> None:
    """Including what is out of view, and without controls."""
    story = talk(20)
    story.model("Long", "All work and no play.\n\n" * 60, 5, (1, 1))
    post(story.entries)
    visit(page, "/sessions/live?tab=conversation")
    page.locator("#conversation .to").last.click(force=True)
    page.locator("#detail h2").wait_for()
    page.click("#tab-conversation")
    page.emulate_media(media="print")
    cut = page.locator("#panel-conversation, #detail, main, body").evaluate_all(
        "all => all.filter((each) => each.scrollHeight > each.clientHeight + 2).map((each) => each.id || each.tagName)"
    )

    assert cut == []
    assert page.locator("button:visible, input:visible, select:visible, summary.plain:visible").count() == 0
    assert page.locator("#detail").evaluate("pane => pane.getBoundingClientRect().top") > 900


def test_error_that_was_recovered_has_its_icon_in_the_colour_of_the_word(page: Page, post: Post) -> None:
    """Not in that of a failure."""
    story = Story("s").ask("Plan")
    run = story.call("Plan")
    story.log("error", 1, run, error_info={"error_id": "e", "error_type": "RateLimitError", "error_message": "later"})
    story.log("recovery", 1, run, error_info={"error_id": "e", "recovery_successful": True})
    post(story.end("Done."))
    visit(page, "/sessions/s?tab=conversation")
    icon, word = (page.locator(f"#conversation .failed {part}") for part in (".who .i", ".s-recovered"))
    colours = [each.evaluate("each => getComputedStyle(each).color") for each in (icon, word)]

    assert colours[0] == colours[1]


def test_question_to_a_human_has_its_icon_beside_its_title(page: Page, post: Post) -> None:
    """In the middle of the line, as an error's is."""
    story = Story("s").ask("Delete it")
    story.log("human_oversight", run=story.root, input_data={"interrupt_id": "i", "value": "Delete it?"},
              meta={"status": "interrupted"})  # fmt: skip
    post(story.entries)
    visit(page, "/sessions/s?tab=conversation")
    icon, title = (page.locator(f"#conversation .human .who {part}").bounding_box() or {} for part in (".i", "h3"))

    assert abs(icon["y"] + icon["height"] / 2 - title["y"] - title["height"] / 2) <= 1
