"""Turn entries into bars, by pairing each call with its response, exit or error."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from coagent_langchain.server.presentation.bars import Bar, total
from coagent_langchain.server.presentation.event_summary import EventSummary
from coagent_langchain.server.presentation.outcomes import NOT_RUN
from coagent_langchain.server.presentation.oversight import exchange

OPENS = {"llm_call": "model", "tool_call": "tool", "component_enter": "component"}
CLOSES = {"llm_response": "model", "tool_response": "tool", "component_exit": "component"}
WARNINGS = frozenset({"warning", "consensus_failure", "performance_degradation"})  # like a failed test, not errors


class Pairing:
    """Pairs each response, exit and error with the bar that it closes.

    Attributes:
        bars: every bar except prompts and ends, in order of their first entry.
        asks: the entries that open prompts.
        answered: root run → the first question to a human that it answered.
        sent: prompt number → the first text sent to a model in it.
        ends: the bars of `session_end` entries.
        by_run: run id → the run's last bar.
    """

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.asks: list[EventSummary] = []
        self.answered: dict[str, Bar] = {}
        self.sent: dict[int, str] = {}
        self.ends: list[Bar] = []
        self.by_run: dict[str, Bar] = {}
        self._waiting: dict[tuple[object, ...], deque[Bar]] = defaultdict(deque)
        self._by_error: dict[str, Bar] = {}
        self._failed_of: defaultdict[str, list[Bar]] = defaultdict(list)  # tools, by the error that made each fail
        self._questions: dict[str, list[Bar]] = defaultdict(list)
        self._special: dict[str, Callable[[EventSummary], None]] = {
            "session_start": self.asks.append, "user_input": self.asks.append, "session_end": self._end,
            "error": self._error, "recovery": self._recovery, "human_oversight": self._oversight,
        }  # fmt: skip

    def add(self, event: EventSummary) -> None:
        """Process the next entry."""
        if event.type in OPENS:
            self._open(event, OPENS[event.type])
        elif event.type in CLOSES:
            self._close(event, CLOSES[event.type])
        else:
            self._special.get(event.type, self._point)(event)

    def _new(self, event: EventSummary, kind: str) -> Bar:
        bar = Bar(kind, event.name or kind, event.at, note=event.note, who=event.who, prompt=event.prompt,
                  turn=event.turn, run=event.run, parent=event.parent, root=event.root, namespace=event.namespace,
                  last=event.at, model=event.model, attempt=event.attempt)  # fmt: skip
        _join(bar, event)
        self.bars.append(bar)
        return bar

    def _open(self, event: EventSummary, kind: str) -> None:
        bar = self._new(event, event.outcome if event.outcome == "retriever" else kind)
        for key in self._keys(event, kind):
            self._waiting[key].append(bar)
        if event.run:
            self.by_run[event.run] = bar
        if kind == "model" and event.note:
            self.sent.setdefault(event.prompt, event.note)

    def _close(self, event: EventSummary, kind: str) -> None:
        taken = map(self._take, self._keys(event, kind))
        bar = next(filter(None, taken), None) or self.by_run.get(event.run)
        if bar is None:
            bar = self._new(event, kind)
            bar.note = ""  # its call's, which is not logged
        else:
            _join(bar, event)
        _stop(bar, event)
        _add_tokens(bar, event)
        if event.model and not bar.model:  # the call did not name it
            bar.label = bar.model = event.name
        bar.note, bar.speaks = self._final_note(bar, event), event.speaks
        if event.failed and bar.status != "recovered":  # a recovery may be logged before the response
            bar.status = "error"
            if event.error:
                self._failed_of[event.error].append(bar)
        elif bar.status == "open":
            bar.status = event.outcome or "ok"

    def _final_note(self, bar: Bar, end: EventSummary) -> str:
        """Why a call failed or did not run; otherwise what it returned, for a tool behind its arguments."""
        if bar.errors:
            return bar.note  # the error's, which names its type
        if bar.is_tool and not end.failed and end.outcome != NOT_RUN:
            return exchange(bar.note, end.note)
        cause = self._by_error.get(end.error)
        return (cause.note if cause else end.note) or bar.note  # a response has only the message, which may be empty

    def _keys(self, event: EventSummary, kind: str) -> list[tuple[object, ...]]:
        """The keys by which a call and its response may be paired, the strongest first."""
        if event.run:
            return [(kind, event.run)]
        keys: list[tuple[object, ...]] = [(kind, event.key, "id")] if event.key else []
        return [*keys, (kind, event.prompt, event.turn, "" if kind == "model" else event.name)]

    def _take(self, key: tuple[object, ...]) -> Bar | None:
        """Take the first call with this key that is still open."""
        waiting = self._waiting.get(key)
        while waiting:
            bar = waiting.popleft()
            if bar.end is None:
                return bar
        return None

    def _point(self, event: EventSummary, kind: str = "note") -> Bar:
        bar = self._new(event, kind)
        bar.end, bar.status = event.at, "ok"
        if event.failed or event.type in WARNINGS:
            bar.status = "warning"
        elif _says_that_its_root_was_stopped(event):
            bar.status = event.outcome
        return bar

    def _end(self, event: EventSummary) -> None:
        bar = self._point(event, "end")
        bar.status, bar.end, bar.took = event.outcome, None, event.ms
        if event.outcome != "interrupted":  # an interrupted session still waits for an answer
            for question in self._answered(""):
                question.status = "unanswered"
        self.ends.append(self.bars.pop())

    def _error(self, event: EventSummary) -> None:
        unnamed = ("model", event.prompt, event.turn, "")
        bar = self.by_run.get(event.run) if event.run else self._take(unnamed)
        if bar is None:
            bar = self._point(event, "error")
        else:
            _join(bar, event)
            if bar.kind != "component" and bar.end is None:
                _stop(bar, event)
        _add_tokens(bar, event)  # tokens of a stream that broke off
        bar.status, bar.note = "error", event.note
        bar.errors += 1
        bar.last = max(bar.last, event.at)
        if event.key:
            self._by_error[event.key] = bar

    def _recovery(self, event: EventSummary) -> None:
        bar = self._by_error.get(event.key)
        if bar is None:
            self._point(event, "recovery")
            return
        _join(bar, event)
        if not event.failed:
            for each in dict.fromkeys([bar, *self._failed_of.pop(event.key, ())]):
                each.status, each.recovered_at = "recovered", (event.at, event.seq)
                each.note = f"{each.note} · {_recovered(event.outcome)}"

    def _oversight(self, event: EventSummary) -> None:
        answered = self._answered(event.key) if event.outcome in ("resumed", "unanswered") else []
        for bar in answered:
            _join(bar, event)
            _stop(bar, event)
            bar.status, bar.note = "ok", exchange(bar.note, event.note)
            if event.outcome == "unanswered":
                bar.status = event.outcome
            elif event.root:
                self.answered.setdefault(event.root, bar)
        if answered or event.outcome == "unanswered":  # unanswered, but not open: answered in another process
            return
        bar = self._new(event, "human")
        if event.outcome == "interrupted":
            bar.status = "waiting"
            self._questions[event.key].append(bar)
        else:
            bar.end, bar.status = event.at, "ok"
        if event.outcome == "resumed" and not event.key:  # e.g. with the thread id of another conversation
            bar.note = " · ".join(part for part in ("answers no open question", bar.note) if part)

    def _answered(self, key: str) -> list[Bar]:
        """Take the open questions that an answer closes.

        An answer from a process other than the one that asked names no question, and closes all of them. One that names
        a question that is not open closes none.
        """
        if key:
            return self._questions.pop(key, [])
        answered = [bar for bars in self._questions.values() for bar in bars]
        self._questions.clear()
        return answered


def _says_that_its_root_was_stopped(event: EventSummary) -> bool:
    """Whether a root run says that it was stopped between two calls: another outcome is the application's own."""
    is_of_root = bool(event.run) and event.run == event.root
    return event.type == "info" and is_of_root and event.outcome in ("cancelled", "abandoned")


def _stop(bar: Bar, event: EventSummary) -> None:
    """End a bar; a reported duration wins over the time between its entries, which may be logged together."""
    bar.end = event.at
    if event.ms is not None:
        bar.took, bar.start = event.ms, min(bar.start, event.at - event.ms)


def _join(bar: Bar, event: EventSummary) -> None:
    """Add an entry, and its cost, which an entry of any type may have."""
    bar.events.append((event.at, event.seq))
    bar.cost = total((bar.cost, event.cost))


def _add_tokens(bar: Bar, event: EventSummary) -> None:
    """Add an entry's tokens; an answer from a cache used none."""
    for name in ("input", "output", "cached"):
        number = getattr(event, name)
        setattr(bar, name, total((getattr(bar, name), number and 0 if event.reused else number)))


def _recovered(strategy: str) -> str:
    """A recovery in words: `recovered by retry`, `recovered: handled`."""
    if strategy in ("retry", "fallback"):
        return f"recovered by {strategy}"
    return f"recovered: {strategy}" if strategy else "recovered"
