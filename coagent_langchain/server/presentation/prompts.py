"""Which prompt an entry belongs to: every `user_input` opens one.

The number alone is not enough. Each process counts its prompts from 1, so a conversation that two processes log, one
after the other or side by side, has several prompts with the same number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter

from coagent_langchain.server.presentation.bars import Bar, Place, total
from coagent_langchain.server.presentation.event_summary import EventSummary


class Prompts:
    """The prompts of a session.

    Parameters:
        asks: its `session_start` and `user_input` entries, in chronological order.
        answered: root run → the question to a human that it answers; it continues that question's prompt.
    """

    def __init__(self, asks: Iterable[EventSummary], answered: Mapping[str, Bar]) -> None:
        self._opened: dict[int, list[tuple[Place, Bar]]] = defaultdict(list)  # by number, in chronological order
        self._of_root: dict[tuple[int, str], Bar] = {}
        self._answered = answered
        starts = []
        for event in asks:
            if event.type == "session_start":
                starts.append(event)  # it comes before the prompt that it belongs to
            else:
                self._ask(event)
        for event in starts:
            self._start(event)

    def all(self) -> list[tuple[Place, Bar]]:
        """Every prompt, with the place of the entry that opened it."""
        return [opened for same in self._opened.values() for opened in same]

    def of(self, bar: Bar) -> Bar:
        """The prompt of a bar: the one that its root run opened, else the latest before it with its number.

        Call this for every bar, in order: the first bar of a root run decides for the others with its number.
        """
        root = (bar.prompt, bar.root)
        found = self._of_root.get(root)
        if found is None:
            question = self._answered.get(bar.root)
            if question is not None and question.events[0] < bar.events[0]:
                found = self.of(question)
            else:
                found = self._at(bar.prompt, bar.events[0])
            if bar.root:
                self._of_root[root] = found
        return found

    def _ask(self, event: EventSummary) -> None:
        root, place = (event.prompt, event.root), (event.at, event.seq)
        bar = self._of_root.get(root)
        if bar is None:
            bar = self._open(event.prompt, place)
            if event.root:
                self._of_root[root] = bar
        insort(bar.events, place)
        bar.cost = total((bar.cost, event.cost))
        bar.start, bar.last = min(bar.start, event.at), max(bar.last, event.at)
        bar.label = event.note or bar.label

    def _start(self, event: EventSummary) -> None:
        number, place = event.prompt, (event.at, event.seq)
        bar = self._of_root.get((number, event.root))
        if bar is None:
            opened = self._opened[number]
            later = bisect_left(opened, place, key=itemgetter(0))
            bar = opened[later][1] if later < len(opened) else self._at(number, place)
        insort(bar.events, place)  # without extending the prompt's time span
        bar.cost = total((bar.cost, event.cost))
        bar.label = bar.label or event.note

    def _at(self, number: int, place: Place) -> Bar:
        if not (opened := self._opened[number]):
            return self._open(number, place)
        return opened[max(bisect_right(opened, place, key=itemgetter(0)) - 1, 0)][1]

    def _open(self, number: int, place: Place) -> Bar:
        bar = Bar("prompt", "", place[0], prompt=number, last=place[0])
        self._opened[number].append((place, bar))
        return bar
