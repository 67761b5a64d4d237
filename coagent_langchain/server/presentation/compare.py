"""Two sessions side by side: figures, then prompt by prompt what was asked and answered."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from markupsafe import Markup

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.bars import Bar, causes
from coagent_langchain.server.presentation.conversation import Ran, Read, ran, unrun, user_words
from coagent_langchain.server.presentation.entries import own_words
from coagent_langchain.server.presentation.formats import visible
from coagent_langchain.server.presentation.jsonview import parsed, pretty
from coagent_langchain.server.presentation.outcomes import CUT_OFF
from coagent_langchain.server.presentation.prose import prose
from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.server.presentation.values import Value, mapping
from coagent_langchain.server.store.records import Session

MAX_PROMPTS = 50
MAX_DIFF = 4_000  # characters of an answer that are compared word by word
MAX_PAIRS = 800_000  # of words: two answers in prose have 500,000; rows of a few short words would take seconds
_PIECES = re.compile(r"<[^>]*>|\s+|[^\s<]+")  # tags, whitespace and words of escaped text


@dataclass(slots=True)
class Side:
    """One prompt of one session."""

    bar: Bar | None = None
    prompt: str = ""
    answer: str = ""
    cut_off: bool = False  # whether the answer, or a later one without words, was cut off
    error: str = ""  # the failure after or instead of the answer, else the one that made the prompt fail
    tools: list[str] = field(default_factory=list)
    marked: Markup = field(default_factory=Markup)


def sides(timeline: Timeline, read: Read) -> list[Side]:
    """A session's first prompts, each with its last answer that is not inside a tool."""
    tools = ran(timeline.tools)
    return [_side(bar, read, tools) for bar in _prompts(timeline)[:MAX_PROMPTS]]


def left_out(timelines: Iterable[Timeline]) -> int:
    """The number of pairs of prompts that are not compared."""
    return max(0, *(len(_prompts(timeline)) - MAX_PROMPTS for timeline in timelines))


def _prompts(timeline: Timeline) -> list[Bar]:
    return [bar for bar in timeline.roots if bar.kind == "prompt"]


def _side(prompt: Bar, read: Read, tools: Ran) -> Side:
    side = Side(prompt, _last(prompt, read, "prompt") or prompt.label)
    bars = list(_from_the_end(prompt))
    called = itertools.groupby(bar.label for bar in reversed(bars) if bar.is_tool)
    side.tools = [f"{name} ×{number}" if (number := len(list(calls))) > 1 else name for name, calls in called]
    for bar in sorted(bars, key=lambda bar: bar.last, reverse=True):  # branches may be parallel
        side.cut_off = side.cut_off or bar.status == CUT_OFF
        if bar.status == "error":
            side.error = side.error or bar.note
        elif answer := _answer(bar, read, tools):
            side.answer = answer
            break
    if not side.error and prompt.status == "error":  # a branch failed before another one answered
        side.error = "".join(bar.note for bar in causes(prompt)[-1:])
    return side


def _answer(bar: Bar, read: Read, tools: Ran) -> str:
    """What a model answered, or the last words of a node's own; "" for any other bar."""
    if bar.kind == "model":
        return _last(bar, read, "llm_response") or _given(bar, read, tools)
    if not bar.speaks:
        return ""
    said = [words for at, seq in bar.events for words in own_words(read(at, seq) or {}) if words]
    return said[-1] if said else ""


def _from_the_end(prompt: Bar) -> Iterator[Bar]:
    """A prompt's bars from last to first, a component before the bars inside it; nothing inside tools."""
    stack = list(prompt.children)
    while stack:
        bar = stack.pop()
        yield bar
        if bar.kind != "model" and not bar.is_tool:
            stack += bar.children


def _last(bar: Bar, read: Read, name: str) -> str:
    """The last text that the bar's entries have under this name; for a prompt, the user's own words."""
    for entry in reversed(user_words([Value(read(at, seq)) for at, seq in bar.events])):
        if found := entry.at(name, "response").text or entry.at(name).text:
            return found
    return ""


def _given(bar: Bar, read: Read, tools: Ran) -> str:
    """The arguments of a model's calls for which no tool ran: its answer if it has no text."""
    calls = [call for at, seq in bar.events for _, call in unrun(bar, Value(read(at, seq)), tools)]
    return "\n".join(pretty(given) for call in calls if (given := call.at("args").value))


def pairs(left: list[Side], right: list[Side]) -> list[tuple[Side, Side]]:
    """Pair the prompts of both sessions by their order, with the words that differ marked."""
    made = [(a or Side(), b or Side()) for a, b in itertools.zip_longest(left, right)]
    for a, b in made:
        a.marked, b.marked = marked(a.answer, b.answer)
    return made


def marked(left: str, right: str) -> tuple[Markup, Markup]:
    """Both as HTML, with `<del>` around words that only the left has, and `<ins>` around those only the right has.

    Nothing is marked if they have less than a fifth of their words in common: nearly everything would be.
    """
    one, two = _PIECES.findall(_html(left)), _PIECES.findall(_html(right))
    a, b = list(filter(_is_word, one)), list(filter(_is_word, two))
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False) if len(a) * len(b) < MAX_PAIRS else None
    same = matcher.get_matching_blocks() if matcher else []
    in_left = {n for block in same for n in range(block.a, block.a + block.size)}
    in_right = {n for block in same for n in range(block.b, block.b + block.size)}
    if 2 * len(in_left) < 0.2 * len(a + b):
        return Markup("".join(one)), Markup("".join(two))
    return _mark(one, in_left, "del"), _mark(two, in_right, "ins")


def _is_word(piece: str) -> bool:
    return piece[0] != "<" and not piece[0].isspace()


def _html(answer: str) -> Markup:
    """An answer as the other pages show it, but JSON as text, so that its lines can be compared."""
    cut = answer[:MAX_DIFF] + ("…" if len(answer) > MAX_DIFF else "")
    return prose(cut) if parsed(answer) is None else Markup("<pre>{}</pre>").format(visible(cut))


def _mark(pieces: list[str], same: set[int], tag: str) -> Markup:
    """Join the pieces, with a tag around the words that are not in `same` and the spaces between two such words."""
    numbers = itertools.count()
    made = [f"<{tag}>{each}</{tag}>" if _is_word(each) and next(numbers) not in same else each for each in pieces]
    return Markup(re.sub(rf"</{tag}>(\s*)<{tag}>", r"\1", "".join(made)))


def settings(left: Value, right: Value) -> list[tuple[str, Markup, Markup]]:
    """What two model calls were given differently, apart from the conversation: a name, and both with marked words."""
    if any(call.at("event_type").value != "llm_call" for call in (left, right)):
        return []  # a session without model calls, or with responses alone
    one, two = _settings(left), _settings(right)
    return [(name, *marked(one[name], two[name])) for name in one if one[name] != two[name]]


def _settings(call: Value) -> dict[str, str]:
    offered = [tool.text for tool in call.at("meta", "tools_offered").each]
    meta = mapping(call.at("meta").value)
    usual = [(name, meta[name]) for name in ("temperature", "max_tokens") if name in meta]
    parameters = dict(usual) | mapping(meta.get("parameters"))  # not of every provider does the latter have these two
    return {
        "Parameters": " · ".join(f"{name}: {formats.brief(parameters[name])}" for name in sorted(parameters)),
        "Tools offered": " · ".join(sorted(offered)),
        "System prompt": call.at("llm_call", "system_prompt").text,
    }


def first_call(timeline: Timeline, read: Read) -> Value:
    """The first entry of a session's first model call; None as a value if it has none."""
    return Value(next((read(*bar.events[0]) for bar in timeline.models), None))


def figures(a: Session, b: Session) -> list[tuple[str, str, str, str]]:
    """The table at the top: for each figure its name, that of both sessions, and the difference."""
    unpriced = _figure("Calls without a price", a.unpriced_calls, b.unpriced_calls, formats.count)
    cached = _figure("of it cached", a.cached_tokens, b.cached_tokens, formats.count)
    both = _figure("Tokens", a.total_tokens, b.total_tokens, formats.count)
    return [
        _figure("Duration", a.duration_ms, b.duration_ms, formats.duration),
        _figure("Prompts", a.prompts, b.prompts, formats.count),
        _figure("Turns", a.turns, b.turns, formats.count),
        _figure("Model calls", a.llm_calls, b.llm_calls, formats.count),
        _figure("Tool calls", a.tool_calls, b.tool_calls, formats.count),
        *([both] if (a.only_total, b.only_total) != (None, None) else []),
        _figure("Tokens in", a.input_tokens, b.input_tokens, formats.count),
        *([cached] if (a.cached_tokens, b.cached_tokens) != (None, None) else []),
        _figure("Tokens out", a.output_tokens, b.output_tokens, formats.count),
        _figure("Cost", a.cost, b.cost, formats.cost),
        *([unpriced] if a.unpriced_calls or b.unpriced_calls else []),
        _figure("Errors", a.errors, b.errors, formats.count),
    ]


def _figure(
    name: str, a: float | None, b: float | None, write: Callable[[float | None], str]
) -> tuple[str, str, str, str]:
    if a is None or b is None:
        return name, write(a), write(b), ""
    change = round(b - a, 9)  # costs are sums of floats: in another order, the last digit differs
    sign, words = ("+", "more") if change > 0 else ("−", "less")
    size = write(abs(change))
    told = f"{size} {words}" if size.startswith("<") else sign + size
    percent = f" ({sign}{abs(change) / a:,.0%})" if a else ""
    return name, write(a), write(b), told + percent if change else "same"
