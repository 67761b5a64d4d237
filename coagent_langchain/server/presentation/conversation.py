"""A session as a conversation: what was asked and answered, with tool calls folded in and errors where they arose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from markupsafe import Markup, escape

from coagent_langchain.server.presentation.bars import Bar
from coagent_langchain.server.presentation.blocks import all_media
from coagent_langchain.server.presentation.entries import placeholder, prompt_of, unreadable
from coagent_langchain.server.presentation.event_summary import MAX_NAME
from coagent_langchain.server.presentation.formats import preview, visible
from coagent_langchain.server.presentation.jsonview import INLINE, parsed, shown, tree
from coagent_langchain.server.presentation.outcomes import STOPPED
from coagent_langchain.server.presentation.oversight import TITLES, question_or_answer
from coagent_langchain.server.presentation.parts import (
    Part,
    chips,
    of_answer,
    of_partial,
    of_reasoning,
    of_result,
    of_stack,
    of_value,
    of_words,
    omitted,
    remark,
)
from coagent_langchain.server.presentation.sent import sent
from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.server.presentation.values import Value, listing, mapping, text
from coagent_langchain.server.store.records import Cursor
from coagent_langchain.texts import counted
from coagent_langchain.wire import JsonObject

PAGE = 40  # bars of one fetch
INNER = 30  # bars folded into one tool call
MAX_CALLS = 20  # calls without a tool, of one answer
MAX_UNFOLDED = 1_000  # characters of what a program sent to a model: such prompts may hold whole documents
MAX_DEPTH = 3  # agents inside agents; deeper ones are only in the timeline
Read = Callable[[int, int], JsonObject | None]  # (timestamp, seq) → the entry
Ran = frozenset[tuple[int, int, str]]  # prompt, turn and name of each tool that ran


@dataclass(slots=True)
class Item:
    """One thing in the conversation: rule, user, answer, tool, error, human or end.

    Attributes:
        parts: what is folded below it.
        inner: the conversation inside a tool call, e.g. of a sub-agent.
        left_out: the number of bars inside that are not shown.
    """

    kind: str
    bar: Bar
    title: str = ""
    content: Markup = field(default_factory=Markup)
    parts: list[Part] = field(default_factory=list)
    inner: list[Item] = field(default_factory=list)
    left_out: int = 0

    @property
    def seq(self) -> int:
        """The `seq` of its first entry, which finds its row in the timeline; 0 if it has none."""
        return self.bar.events[0][1] if self.bar.events else 0


def outline(timeline: Timeline) -> list[Bar]:
    """The bars of the conversation, in order: prompts, and inside them models, tools, humans and errors."""
    return [bar for root in timeline.roots for bar in (root, *_speaking(root.children))]


def _speaking(bars: Iterable[Bar]) -> list[Bar]:
    """The bars that say something, including those inside turns and components, but not inside tools."""
    found, stack, entered = [], list(reversed(list(bars))), set[Bar]()
    while stack:
        bar = stack.pop()
        if bar.kind in ("turn", "component") and bar not in entered:
            entered.add(bar)
            if _says_something(bar):
                stack.append(bar)  # after everything inside it
            stack += reversed(bar.children)
        elif bar.kind != "note" or bar.status in ("warning", "cancelled", "abandoned"):
            found.append(bar)
            found += [child for child in bar.children if child.kind == "human"]
    return found


def _says_something(bar: Bar) -> bool:
    """Whether a node has messages of its own, or a failure of its own; a turn has neither."""
    return bar.failed_by_itself if bar.failed else bar.speaks


def ran(bars: Iterable[Bar]) -> Ran:
    """The tools that ran, among these bars: a model's calls to them are shown with the tool."""
    return frozenset((bar.prompt, bar.turn, bar.label) for bar in bars)


def unrun(bar: Bar, entry: Value, tools: Ran) -> list[tuple[str, Value]]:
    """The calls in a model's answer for which no tool ran, e.g. structured output, each with its name."""
    calls = entry.at("llm_response", "tool_calls", "calls").each
    named = [(visible(call.at("name").text[:MAX_NAME]) or "tool", call) for call in calls]
    return [(name, call) for name, call in named if (bar.prompt, bar.turn, name) not in tools]


def items(bars: Iterable[Bar], read: Read, tools: Ran) -> list[Item]:
    """The items of these bars, ready to show; `tools` are those that ran in the session."""
    reader = _Reader(read, tools)
    return [item for bar in bars for item in reader.items(bar)]


class _Reader:
    """Reads the bars of one scope in order; remembers the last prompt, its inputs and a human's answers since.

    No turn repeats these.
    """

    def __init__(self, read: Read, tools: Ran, asked: tuple[str, ...] = (), depth: int = 0) -> None:
        self._read, self._tools, self._asked, self._depth = read, tools, asked, depth
        self._attached = Markup()  # images and files of the last prompt, which each turn sends again

    def items(self, bar: Bar) -> list[Item]:
        entries = [Value(entry, str(Cursor(at, seq))) for at, seq in bar.events if (entry := self._read(at, seq))]
        if bar.kind == "prompt":
            self._asked = ()  # the same words in another prompt are shown again
            return [Item("rule", bar, f"Prompt {bar.prompt}"), *self._user(bar, entries)]
        if bar.kind == "model":
            return [*self._user(bar, entries), *self._answer(bar, entries)]
        if bar.is_tool:
            return [self._tool(bar, entries)]
        if bar.kind == "end":
            return [Item("end", bar, f"Session {bar.status}")]
        if bar.kind == "human":
            self._asked += tuple(text(entry.at("input_data", "value").value) for entry in entries)
            return [_human(bar, entry) for entry in entries]
        if bar.kind == "component" and not bar.failed:
            said = [part for entry in entries for part in of_words(entry)]
            return [Item("answer", bar, bar.label, part.content) for part in said]
        return [self._failure(bar, entries)] if bar.failed else [Item("note", bar, bar.label, escape(bar.note))]

    def _user(self, bar: Bar, entries: list[Value]) -> list[Item]:
        for entry in reversed(user_words(entries)):
            prompt = prompt_of(entry)
            words, attached = self._words(prompt), self._media(entry)
            if words and bar.kind != "prompt" and len(prompt.text) > MAX_UNFOLDED:
                long = Part(counted(len(prompt.text), "character"), words, brief=preview(prompt.text))
                return [Item("user", bar, "To the model", attached, [long])]
            if words or attached:
                title = "User" if bar.kind == "prompt" else "To the model" if words else "Attached"
                return [Item("user", bar, title, words + attached)]
        return []

    def _words(self, prompt: Value) -> Markup:
        """The prompt, unless it is the last one again."""
        if not prompt.text or prompt.text in self._asked:
            return Markup()
        given = parsed(prompt.text)
        inputs = mapping(given)
        self._asked, self._attached = (prompt.text, *map(text, inputs.values())), Markup()
        if all_media(listing(given)):  # there is no text beside them
            self._attached = chips(given)
            return self._attached
        return tree(replace(prompt, value=_filled(inputs))) if inputs else shown(prompt)

    def _media(self, entry: Value) -> Markup:
        """The images and files of the prompt, unless they are the last ones again; only a model call has them."""
        attached = chips([one.message.value for one in sent(entry) if one.asks])
        if not attached or attached == self._attached:
            return Markup()
        self._attached = attached
        return attached

    def _answer(self, bar: Bar, entries: list[Value]) -> list[Item]:
        who = bar.who or "Assistant"
        made = [item for entry in entries for item in self._said(bar, who, entry)]
        if bar.failed:
            made.append(self._failure(bar, entries))
        elif bar.status == "open":
            made.append(Item("open", bar, who, remark("No answer yet")))
        elif bar.status in STOPPED and not made:
            made.append(Item("answer", bar, who))
        return made

    def _said(self, bar: Bar, who: str, entry: Value) -> Iterator[Item]:
        """What one entry of a model call says: an answer, or what there is in its place; the beginning of one."""
        answer = entry.at("llm_response")
        response, calls = answer.at("response"), answer.at("tool_calls")
        attached, reasoning = chips(entry.at("meta", "blocks").value), of_reasoning(entry)
        not_run = _calls(unrun(bar, entry, self._tools))
        spoken = bool(response.text.strip())
        if spoken or attached or not_run or reasoning:
            words = of_answer("Answer", response).content if spoken else Markup()
            yield Item("answer", bar, who, words + attached + not_run, reasoning)
        elif calls.value and not calls.at("calls").each:
            yield Item("answer", bar, who, parts=[of_value("Tool calls", calls)])
        elif mapping(answer.value) and (instead := placeholder(mapping(entry.value))):
            yield Item("answer", bar, who, remark(instead))
        for part in of_partial(entry):
            yield Item("answer", bar, who, part.content)

    def _tool(self, bar: Bar, entries: list[Value]) -> Item:
        item = Item("tool", bar, bar.label)
        for entry in entries:
            given, result = entry.at("tool_call", "parameters"), entry.at("tool_response", "result")
            if given.value:
                item.parts.append(of_value("Arguments", given))
            if result.value is not None:
                item.parts += of_result(result)
        if bar.failed:
            failure = self._failure(bar, entries)
            item.parts += [Part("Error", failure.content), *failure.parts]
        inside = _speaking(child for child in bar.children if child.kind != "human")
        within = inside[:INNER] if self._depth < MAX_DEPTH else []
        scope = _Reader(self._read, self._tools, self._asked, self._depth + 1)
        item.inner = [inner for child in within for inner in scope.items(child)]
        item.left_out = len(inside) - len(within)
        return item

    def _failure(self, bar: Bar, entries: list[Value]) -> Item:
        speaker = bar.who if bar.kind == "model" and bar.who else bar.label
        for entry in entries:
            if entry.at("event_type").text == "error":
                info = entry.at("error_info")
                kind, message = info.at("error_type").text or "Error", info.at("error_message")
                more = escape(": ") + shown(message) if message.text not in ("", kind) else ""
                return Item("error", bar, speaker, escape(preview(kind)) + more, of_stack(entry))
        return Item("error", bar, speaker, escape(bar.note or "failed"))


def _calls(unrun: list[tuple[str, Value]]) -> Markup:
    """Calls as a part of the answer, each with its name and arguments."""
    title = Markup('<p class="muted">→ {}{}</p>')
    shown = [
        title.format(name, unreadable(mapping(call.value))) + of_value(name, call.at("args")).content
        for name, call in unrun[:MAX_CALLS]
    ]
    return Markup("").join([*shown, *(part.content for part in omitted("Tool calls", unrun, MAX_CALLS))])


def user_words(entries: list[Value]) -> list[Value]:
    """The `user_input` entries among a prompt's; all of its entries if there are none."""
    return [entry for entry in entries if entry.at("event_type").text == "user_input"] or entries


def _human(bar: Bar, entry: Value) -> Item:
    """A question to a human, or the human's answer: its words, with the value that contains them folded below."""
    status, value = entry.at("meta", "status").text, entry.at("input_data", "value")
    words = question_or_answer(status, value.value)
    given = of_value(TITLES.get(status, "Value"), value)
    kind, title = _HUMAN.get(status, ("human", preview(status or "Human", 40).capitalize()))
    if bar.status == "waiting":
        title = "Waiting for a human"
    if value.value is None:
        return Item(kind, bar, title, Markup() if status in _HUMAN else escape(bar.note))
    if not words:
        return Item(kind, bar, title, given.content)
    cut = words[:INLINE] + "…" if len(words) > INLINE else words
    return Item(kind, bar, title, escape(visible(cut)), [given])


_HUMAN = {"interrupted": ("human", "A human was asked"), "resumed": ("user", "Human"),
          "unanswered": ("human", "No answer from a human")}  # fmt: skip


def _filled(inputs: JsonObject) -> JsonObject:
    """The inputs without the empty ones, unless all are empty."""
    return {name: value for name, value in inputs.items() if value not in (None, "", [], {})} or inputs
