"""Turn entries into bars, by pairing each call with its response, exit or error."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from coagent_langchain.server.presentation.bars import Bar
from coagent_langchain.server.presentation.formats import total
from coagent_langchain.server.presentation.moments import NOT_RUN, Moment
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
        self.asks: list[Moment] = []
        self.answered: dict[str, Bar] = {}
        self.sent: dict[int, str] = {}
        self.ends: list[Bar] = []
        self.by_run: dict[str, Bar] = {}
        self._waiting: dict[tuple[object, ...], deque[Bar]] = defaultdict(deque)
        self._by_error: dict[str, Bar] = {}
        self._failed_of: defaultdict[str, list[Bar]] = defaultdict(list)  # tools, by the error that made each fail
        self._questions: dict[str, list[Bar]] = defaultdict(list)
        self._special: dict[str, Callable[[Moment], None]] = {
            "session_start": self.asks.append, "user_input": self.asks.append, "session_end": self._end,
            "error": self._error, "recovery": self._recovery, "human_oversight": self._oversight,
        }  # fmt: skip

    def add(self, moment: Moment) -> None:
        """Process the next entry."""
        if moment.type in OPENS:
            self._open(moment, OPENS[moment.type])
        elif moment.type in CLOSES:
            self._close(moment, CLOSES[moment.type])
        else:
            self._special.get(moment.type, self._point)(moment)

    def _new(self, moment: Moment, kind: str) -> Bar:
        bar = Bar(kind, moment.name or kind, moment.at, note=moment.note, who=moment.who, prompt=moment.prompt,
                  turn=moment.turn, run=moment.run, parent=moment.parent, root=moment.root, namespace=moment.namespace,
                  last=moment.at, model=moment.model, attempt=moment.attempt)  # fmt: skip
        _join(bar, moment)
        self.bars.append(bar)
        return bar

    def _open(self, moment: Moment, kind: str) -> None:
        bar = self._new(moment, moment.outcome if moment.outcome == "retriever" else kind)
        for key in self._keys(moment, kind):
            self._waiting[key].append(bar)
        if moment.run:
            self.by_run[moment.run] = bar
        if kind == "model" and moment.note:
            self.sent.setdefault(moment.prompt, moment.note)

    def _close(self, moment: Moment, kind: str) -> None:
        taken = map(self._take, self._keys(moment, kind))
        bar = next(filter(None, taken), None) or self.by_run.get(moment.run)
        if bar is None:
            bar = self._new(moment, kind)
            bar.note = ""  # its call's, which is not logged
        else:
            _join(bar, moment)
        _stop(bar, moment)
        _add_tokens(bar, moment)
        if moment.model and not bar.model:  # the call did not name it
            bar.label = bar.model = moment.name
        bar.note, bar.speaks = self._final_note(bar, moment), moment.speaks
        if moment.failed and bar.status != "recovered":  # a recovery may be logged before the response
            bar.status = "error"
            if moment.error:
                self._failed_of[moment.error].append(bar)
        elif bar.status == "open":
            bar.status = moment.outcome or "ok"

    def _final_note(self, bar: Bar, end: Moment) -> str:
        """Why a call failed or did not run; otherwise what it returned, for a tool behind its arguments."""
        if bar.errors:
            return bar.note  # the error's, which names its type
        if bar.is_tool and not end.failed and end.outcome != NOT_RUN:
            return exchange(bar.note, end.note)
        cause = self._by_error.get(end.error)
        return (cause.note if cause else end.note) or bar.note  # a response has only the message, which may be empty

    def _keys(self, moment: Moment, kind: str) -> list[tuple[object, ...]]:
        """The keys by which a call and its response may be paired, the strongest first."""
        if moment.run:
            return [(kind, moment.run)]
        keys: list[tuple[object, ...]] = [(kind, moment.key, "id")] if moment.key else []
        return [*keys, (kind, moment.prompt, moment.turn, "" if kind == "model" else moment.name)]

    def _take(self, key: tuple[object, ...]) -> Bar | None:
        """Take the first call with this key that is still open."""
        waiting = self._waiting.get(key)
        while waiting:
            bar = waiting.popleft()
            if bar.end is None:
                return bar
        return None

    def _point(self, moment: Moment, kind: str = "note") -> Bar:
        bar = self._new(moment, kind)
        bar.end, bar.status = moment.at, "ok"
        if moment.failed or moment.type in WARNINGS:
            bar.status = "warning"
        elif _says_that_its_root_was_stopped(moment):
            bar.status = moment.outcome
        return bar

    def _end(self, moment: Moment) -> None:
        bar = self._point(moment, "end")
        bar.status, bar.end, bar.took = moment.outcome, None, moment.ms
        if moment.outcome != "interrupted":  # an interrupted session still waits for an answer
            for question in self._answered(""):
                question.status = "unanswered"
        self.ends.append(self.bars.pop())

    def _error(self, moment: Moment) -> None:
        unnamed = ("model", moment.prompt, moment.turn, "")
        bar = self.by_run.get(moment.run) if moment.run else self._take(unnamed)
        if bar is None:
            bar = self._point(moment, "error")
        else:
            _join(bar, moment)
            if bar.kind != "component" and bar.end is None:
                _stop(bar, moment)
        _add_tokens(bar, moment)  # tokens of a stream that broke off
        bar.status, bar.note = "error", moment.note
        bar.errors += 1
        bar.last = max(bar.last, moment.at)
        if moment.key:
            self._by_error[moment.key] = bar

    def _recovery(self, moment: Moment) -> None:
        bar = self._by_error.get(moment.key)
        if bar is None:
            self._point(moment, "recovery")
            return
        _join(bar, moment)
        if not moment.failed:
            for each in dict.fromkeys([bar, *self._failed_of.pop(moment.key, ())]):
                each.status, each.recovered_at = "recovered", (moment.at, moment.seq)
                each.note = f"{each.note} · {_recovered(moment.outcome)}"

    def _oversight(self, moment: Moment) -> None:
        answered = self._answered(moment.key) if moment.outcome in ("resumed", "unanswered") else []
        for bar in answered:
            _join(bar, moment)
            _stop(bar, moment)
            bar.status, bar.note = "ok", exchange(bar.note, moment.note)
            if moment.outcome == "unanswered":
                bar.status = moment.outcome
            elif moment.root:
                self.answered.setdefault(moment.root, bar)
        if answered or moment.outcome == "unanswered":  # unanswered, but not open: answered in another process
            return
        bar = self._new(moment, "human")
        if moment.outcome == "interrupted":
            bar.status = "waiting"
            self._questions[moment.key].append(bar)
        else:
            bar.end, bar.status = moment.at, "ok"

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


def _says_that_its_root_was_stopped(moment: Moment) -> bool:
    """Whether a root run says that it was stopped between two calls: another outcome is the application's own."""
    is_of_root = bool(moment.run) and moment.run == moment.root
    return moment.type == "info" and is_of_root and moment.outcome in ("cancelled", "abandoned")


def _stop(bar: Bar, moment: Moment) -> None:
    """End a bar; a reported duration wins over the time between its entries, which may be logged together."""
    bar.end = moment.at
    if moment.ms is not None:
        bar.took, bar.start = moment.ms, min(bar.start, moment.at - moment.ms)


def _join(bar: Bar, moment: Moment) -> None:
    """Add an entry, and its cost, which an entry of any type may have."""
    bar.events.append((moment.at, moment.seq))
    bar.cost = total((bar.cost, moment.cost))


def _add_tokens(bar: Bar, moment: Moment) -> None:
    """Add an entry's tokens; an answer from a cache used none."""
    for name in ("input", "output", "cached"):
        number = getattr(moment, name)
        setattr(bar, name, total((getattr(bar, name), number and 0 if moment.reused else number)))


def _recovered(strategy: str) -> str:
    """A recovery in words: `recovered by retry`, `recovered: handled`."""
    if strategy in ("retry", "fallback"):
        return f"recovered by {strategy}"
    return f"recovered: {strategy}" if strategy else "recovered"
