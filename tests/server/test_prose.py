"""Model responses as HTML: how Markdown is rendered, what stays text, and what hostile text costs."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coagent_langchain.server.presentation.prose import MAX_DEPTH, prose

HUGE = 50_000
SIGNS = ["\n", "\n\n", "    ", "  ", "\t", "# ", "- ", "* ", "1. ", "3) ", "> ", "- [ ] ", "```", "~~~", "`", "**", "*",
         "_", "~~", "|", "|-|-|\n", "a|b\n-|-\n", "---", "===", "\\", "\\|", "[", "](", "[a]: ", "<b>", "<!--",
         "&#8238;"]  # fmt: skip
TAG = re.compile(
    "</?(?:p|h[4-6]|ul|ol|li|blockquote|pre|code|strong|em|s|div|table|thead|tbody|tr|th|td|hr)"
    r'(?: (?:dir="auto"|start="\d+"|class="(?:task|wide|left|right|center)"|data-lang="[^"]*"))*>'
)


def test_headings_stand_below_those_of_the_page() -> None:
    """The page and its parts use three levels."""
    assert str(prose("# a\n## b\n### c\n#### d\nwords")) == (
        '<h4 dir="auto">a</h4><h5 dir="auto">b</h5><h6 dir="auto">c</h6><h6 dir="auto">d</h6><p dir="auto">words</p>'
    )


def test_heading_is_one_level_below_the_one_that_it_belongs_to() -> None:
    """Whatever level a response begins with, and whichever it skips."""
    assert str(prose("### a\n##### b\n#### c\n# d\n### e\n### f")) == (
        '<h4 dir="auto">a</h4><h5 dir="auto">b</h5><h5 dir="auto">c</h5>'
        '<h4 dir="auto">d</h4><h5 dir="auto">e</h5><h5 dir="auto">f</h5>'
    )


def test_underlined_lines_are_headings() -> None:
    """With equals signs the first level, with dashes the second."""
    assert str(prose("a\n===\nb\n---\n")) == '<h4 dir="auto">a</h4><h5 dir="auto">b</h5>'


def test_line_of_dashes_is_a_rule() -> None:
    """Between paragraphs."""
    assert str(prose("a\n\n---\n\nb")) == '<p dir="auto">a</p><hr><p dir="auto">b</p>'


def test_words_are_emphasized_in_every_way_of_writing() -> None:
    """Asterisks and underscores, one, two or three; an underscore inside a word stays one."""
    assert str(prose("*a* _b_ **c** __d__ ***e*** ~~f~~ g_h_i `j*`")) == (
        '<p dir="auto"><em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <em><strong>e</strong></em> <s>f</s>'
        " g_h_i <code>j*</code></p>"
    )


def test_backslash_takes_the_meaning_from_a_sign() -> None:
    """The character is shown, the backslash is not; before anything else the backslash is shown."""
    assert str(prose(r"\*a\* \# 1\. C:\dir")) == r'<p dir="auto">*a* # 1. C:\dir</p>'


def test_lines_of_a_paragraph_stay_lines() -> None:
    """Whatever is at their ends."""
    assert str(prose("a\nb  \nc\\\nd")) == '<p dir="auto">a\nb\nc\nd</p>'


def test_lists_stand_in_lists() -> None:
    """Of both kinds, each with its direction."""
    assert str(prose("1. a\n   - b\n     * c\n   - d\n2. e")) == (
        '<ol dir="auto"><li>a<ul dir="auto"><li>b<ul dir="auto"><li>c</li></ul></li><li>d</li></ul></li><li>e</li></ol>'
    )


def test_tasks_have_boxes() -> None:
    """As characters that cannot be clicked; other bracketed text is unchanged."""
    assert str(prose("- [ ] a\n- [x] `b`\n- [c] d\n- [X]e")) == (
        '<ul dir="auto"><li class="task">☐ a</li><li class="task">☑ <code>b</code></li><li>[c] d</li><li>[X]e</li></ul>'
    )


def test_box_stands_before_the_first_paragraph_of_a_task() -> None:
    """Not above it."""
    assert str(prose("- [ ] a\n\n  b")) == '<ul dir="auto"><li class="task"><p>☐ a</p><p>b</p></li></ul>'


def test_brackets_in_the_code_of_an_item_are_no_box() -> None:
    """Code is unchanged, also as the second block."""
    assert str(prose("- ```\n  a\n  ```\n  ```\n  [ ] b\n  ```")) == (
        '<ul dir="auto"><li><pre>a</pre><pre>[ ] b</pre></li></ul>'
    )


def test_quotes_hold_blocks() -> None:
    """Paragraphs, lists, and quotes of their own."""
    assert str(prose("so:\n> *a* <i>\n>\n> - b\n>\n> > c\n\nd > e")) == (
        '<p dir="auto">so:</p><blockquote dir="auto"><p><em>a</em> &lt;i&gt;</p><ul dir="auto"><li>b</li></ul>'
        '<blockquote><p>c</p></blockquote></blockquote><p dir="auto">d &gt; e</p>'
    )


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_stays_as_it_is(fence: str) -> None:
    """Nothing in it is markup; its language is shown."""
    assert str(prose(f"{fence}py\n<x> **b**\n\n  # c\n{fence}")) == (
        '<pre data-lang="py">&lt;x&gt; **b**\n\n  # c</pre>'
    )


def test_code_without_an_end_goes_on() -> None:
    """A response is cut where it is long."""
    assert str(prose("```\nnever closed")) == "<pre>never closed</pre>"


def test_indented_lines_are_code() -> None:
    """Four spaces, after a blank line."""
    assert str(prose("a\n\n    b\n      c")) == '<p dir="auto">a</p><pre>b\n  c</pre>'


def test_language_cannot_leave_its_attribute() -> None:
    """Everything after the fence is shown, escaped."""
    assert str(prose('```a"> <b>\nx\n```')) == '<pre data-lang="a&#34;&gt; &lt;b&gt;">x</pre>'


def test_tables_have_heads_and_alignment() -> None:
    """In a box that scrolls; alignment is a class, because the pages allow no inline styles."""
    assert str(prose("| a | b | c |\n|:--|:-:|--:|\n| 1 | <i> | `x` |")) == (
        '<div class="wide"><table dir="auto"><thead><tr><th class="left">a</th><th class="center">b</th>'
        '<th class="right">c</th></tr></thead><tbody><tr><td class="left">1</td><td class="center">&lt;i&gt;</td>'
        '<td class="right"><code>x</code></td></tr></tbody></table></div>'
    )


def test_pipes_stay_in_cells() -> None:
    """After a backslash, and if a row has more pipes than columns."""
    assert str(prose("|a|b|\n|-|-|\n|1\\|2|str|None|int|\n")) == (
        '<div class="wide"><table dir="auto"><thead><tr><th>a</th><th>b</th></tr></thead>'
        "<tbody><tr><td>1|2</td><td>str | None|int</td></tr></tbody></table></div>"
    )


@pytest.mark.parametrize(
    "text",
    ["[x](javascript:1)", "![i](https://evil.example/i.png)", "<https://evil.example>", "https://evil.example",
     "[x][y]", "[y]: https://evil.example", "<b onclick=x>b</b>", "<!-- a -->", "<script>x</script>",
     "&lt;b&gt; &#8238;"],
)  # fmt: skip
def test_links_images_and_html_stay_text(text: str) -> None:
    """As the model wrote them: a log has nothing to click, and hides nothing."""
    assert str(prose(text)) == f'<p dir="auto">{html.escape(text)}</p>'


def test_definitions_of_links_stay_and_make_none() -> None:
    """The library would omit them."""
    assert str(prose("[y]\n\n[y]: https://evil.example")) == (
        '<p dir="auto">[y]</p><p dir="auto">[y]: https://evil.example</p>'
    )


def test_invisible_characters_are_shown_in_words_code_and_language() -> None:
    """Those that reorder text, and control characters."""
    assert str(prose("a\u202eb\u0007\n```p\u200by\nc\u2066\x00\n```")) == (
        '<p dir="auto">a⟨U+202E⟩b␇</p><pre data-lang="p⟨U+200B⟩y">c⟨U+2066⟩␀</pre>'
    )


def test_quotes_end_in_the_depth() -> None:
    """Deeper quotes are text."""
    deep = '<blockquote dir="auto">' + "<blockquote>" * (MAX_DEPTH - 1)
    assert str(prose("> " * (MAX_DEPTH + 2) + "a")) == f"{deep}<p>&gt; &gt; a</p>{'</blockquote>' * MAX_DEPTH}"


def test_short_rows_do_not_fill_a_huge_table() -> None:
    """A table that would have more cells than the text has characters stays text."""
    text = "a|" * 250 + "\n" + "-|" * 250 + "\nb" * 500

    assert str(prose(text)) == f'<p dir="auto">{text}</p>'


@pytest.mark.parametrize(
    "unit",
    ["[", "![", "[](", "]", "*", "**a ", "*a **b ", "_a *b", "***a***", "~~", "`", "`a``", "\\", "\\`", "<", "&",
     "> ", ">a\n", "> a\n\n", "> 1. - ", "- ", "* a ", "- a\n", "- a\n\n", "* * a\n", "1. ", "- [ ] ", "|", "a|",
     "a|b\n-|-\n\n", "|-", "#", "a\n=\n", "```\n", "\t", "\n", "\u202e",
     pytest.param("".join(f"{'  ' * n}- a\n" for n in range(300)), id="nested lists"),
     pytest.param("".join(f"{'>' * n} a\n" for n in range(300)), id="nested quotes")],
)  # fmt: skip
def test_hostile_text_costs_little(unit: str) -> None:
    """However much of it there is, of whatever character: the result is fast, shallow and small."""
    began = time.thread_time()  # of this thread only, whatever else the machine does
    made = prose((unit * (HUGE // len(unit) + 1))[:HUGE])

    assert time.thread_time() - began < 5
    assert len(made) < 12 * HUGE


@given(st.lists(st.sampled_from([*SIGNS, "word", "word"]), max_size=60))
def test_no_word_is_lost(parts: list[str]) -> None:
    """Whatever Markdown it is in, and in order; there are no tags but the expected ones."""
    words = [f" w{number}x" if part == "word" else part for number, part in enumerate(parts)]
    made = str(prose("".join(words)))

    assert re.findall(r"w\d+x", made) == [word.strip() for word in words if word.startswith(" w")]
    assert "<" not in TAG.sub("", made)
