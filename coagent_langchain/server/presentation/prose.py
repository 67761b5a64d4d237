"""An answer's Markdown as HTML. Links, images and HTML remain the text that the model wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, paragraph, table
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from coagent_langchain.server.presentation.formats import visible

MAX_DEPTH = 20  # levels of quotes and lists; a list counts as two
# An allow-list, so that no later version of the library makes links. Entities, too, remain as written: they would
# bring the invisible characters back.
_RULES = ["table", "code", "fence", "blockquote", "hr", "list", "heading", "lheading",
          "newline", "escape", "backticks", "strikethrough", "emphasis"]  # fmt: skip
_LISTS = ("bullet_list_open", "ordered_list_open")
_BOX = re.compile(r"\[([ xX])\]\s+")
_PIPE = re.compile(r"(?<!\\)\|")


def prose(text: str) -> Markup:
    """The text as HTML: all of it is escaped, only Markdown syntax becomes tags."""
    return Markup(_MARKDOWN.render(visible(text)))


class _Html(RendererHTML):
    """HTML without newlines between tags, which would be visible, and marked in a comparison."""

    hardbreak = RendererHTML.softbreak

    def renderToken(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return super().renderToken(tokens, idx, options, env).strip("\n")

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        language = tokens[idx].info.strip()
        label = Markup(' data-lang="{}"').format(language) if language else ""
        return Markup("<pre{}>{}</pre>").format(label, tokens[idx].content.removesuffix("\n"))

    code_block = fence

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="wide">' + self.renderToken(tokens, idx, options, env)

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return self.renderToken(tokens, idx, options, env) + "</div>"


def _flat(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Make anything nested too deep a paragraph: the library would drop it."""
    return state.level >= MAX_DEPTH and paragraph(state, start, end, silent)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Parse a table, unless padding its short rows could add more cells than the text has characters."""
    pipes, first = state.src.count("|", state.bMarks[start], state.eMarks[start]), len(state.tokens)
    if pipes * (end - start) > len(state.src) or not table(state, start, end, silent):
        return False
    _keep(state, start, state.tokens[first:])
    return True


def _keep(state: StateBlock, start: int, tokens: list[Token]) -> None:
    """Put a row's cells beyond the last column into its last cell: the library drops them."""
    columns = sum(token.type == "th_open" for token in tokens)
    ends = [at for at, token in enumerate(tokens) if token.type == "tr_close"]
    for line, at in enumerate(ends[1:], start + 2):
        row = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip().removeprefix("|")
        if more := "|".join(_PIPE.split(row)[columns:]).strip("| "):
            tokens[at - 2].content += f" | {more}"


def _as_shown(state: StateCore) -> None:
    """Put headings below the page's own, align by class (the policy forbids styles), set directions, mark tasks."""
    above: list[str] = []  # the headings that enclose the next one, so that none skips a level
    for token in state.tokens:
        if token.type == "heading_open":
            above = [*(tag for tag in above if tag < token.tag), token.tag]
        if token.type.startswith("heading"):
            token.tag = f"h{min(len(above) + 3, 6)}"
        if style := token.attrs.pop("style", ""):
            token.attrs["class"] = str(style).removeprefix("text-align:")
        if token.nesting == 1 and (token.level == 0 or token.type in _LISTS):
            token.attrs["dir"] = "auto"
    for item, words in zip(state.tokens, state.tokens[2:], strict=False):
        if (item.type, words.type) == ("list_item_open", "inline") and (box := _BOX.match(words.content)):
            item.attrs["class"] = "task"
            words.content = f"{'☐' if box[1] == ' ' else '☑'} {words.content[box.end() :]}"


_MARKDOWN = MarkdownIt("zero", {"maxNesting": MAX_DEPTH + 5}, renderer_cls=_Html).enable(_RULES)
_MARKDOWN.block.ruler.before("table", "flat", _flat)
_MARKDOWN.block.ruler.at("table", _table, {"alt": ["paragraph"]})
_MARKDOWN.core.ruler.after("block", "as_shown", _as_shown)
