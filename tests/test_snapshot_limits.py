"""Snapshots of large, deep and changing objects are bounded, and say what is missing."""

from __future__ import annotations

import base64
import gc
import sys
import types
from typing import Any

import orjson
import pytest
from langchain_core.messages import HumanMessage

from coagent_langchain.texts import MAX_FIELD, bounded
from coagent_langchain.values import kinds, media
from coagent_langchain.values.snapshot import MAX_DEPTH, MAX_ITEMS, Walk, snapshot


def test_cycles_end() -> None:
    """A container inside itself is named, at any distance; the same object twice side by side is not a cycle."""
    cycle: dict[str, Any] = {"list": []}
    cycle["list"].append(cycle)
    leaf = [1]
    me = types.SimpleNamespace()
    me.friends = [me]

    assert snapshot(me) == {"__type__": "types.SimpleNamespace", "friends": ["<cycle: types.SimpleNamespace>"]}
    assert snapshot(cycle) == {"list": ["<cycle: dict>"]}
    assert snapshot([leaf, leaf]) == [[1], [1]]


def test_deep_values_are_cut() -> None:
    """Below the maximum depth, a container is named."""
    deep: Any = "bottom"
    for _ in range(10_000):
        deep = [deep]

    found, depth = snapshot(deep), 0
    while isinstance(found, list):
        found, depth = found[0], depth + 1

    assert (found, depth) == ("<too deep: list of 1>", MAX_DEPTH)


def test_wide_values_are_cut_and_say_so() -> None:
    """A container with too many entries keeps the first ones and says how many are missing."""
    items = snapshot(list(range(MAX_ITEMS + 5)))
    entries = snapshot({str(n): n for n in range(MAX_ITEMS + 5)})

    assert (len(items), items[-1]) == (MAX_ITEMS + 1, "… [cut: 5 of 10,005 items]")
    assert (len(entries), entries["…"]) == (MAX_ITEMS + 1, "[cut: 5 of 10,005 entries]")


def test_branching_values_are_bounded_in_total() -> None:
    """A small object that unfolds into an enormous one is cut by the total limit, without taking long."""
    bomb: Any = ["x"] * 100
    for _ in range(20):
        bomb = [bomb] * 100

    assert len(orjson.dumps(snapshot(bomb))) < 20_000_000


def test_keys_that_look_alike_are_told_apart_in_time() -> None:
    """Long keys with a common prefix, and objects as keys, each have an entry, in linear time."""
    long = {"x" * 2000 + str(number): number for number in range(5_000)}
    objects = {object(): number for number in range(5_000)}

    assert [list(snapshot(each).values()) for each in (long, objects)] == [list(range(5_000))] * 2
    assert max(len(key) for key in snapshot(long)) < 1_100


def test_a_dict_that_changes_meanwhile_is_read() -> None:
    """A thread may change a dict while it is read; here the garbage collector does so."""
    state = dict.fromkeys(map(str, range(8_000)))
    before = gc.get_threshold()
    gc.callbacks.append(change := lambda phase, info: state.update({f"new {len(state)}": None}))
    gc.collect()
    gc.set_threshold(7_000)
    try:
        others = [[] for _ in range(3_000)]  # the collector runs after 4,000 more objects
        found = snapshot(state)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(change)

    assert 8_000 < len(found) <= len(state)
    assert len(others) == 3_000


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the garbage collector waits until the dict is read")
def test_a_dict_that_never_stands_still_says_so() -> None:
    """It is not shown as empty; here the garbage collector changes it during each attempt."""
    state = dict.fromkeys(map(str, range(8_000)))
    before = gc.get_threshold()
    gc.callbacks.append(change := lambda phase, info: state.update({f"new {len(state)}": None}))
    gc.set_threshold(1_000)
    try:
        found = snapshot({"state": state, "rest": 1})
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(change)

    assert found == {"state": "<unreadable dict>", "rest": 1}


def test_long_strings_are_cut_and_say_so() -> None:
    """A string over the limit keeps its beginning and says how much was cut; at the limit it is complete."""
    assert bounded("x" * 10, 10) == "x" * 10
    assert snapshot({"a": "x" * 2000}, 1500) == {"a": "x" * 1500 + "… [cut: 500 of 2,000 characters]"}
    assert snapshot("x" * 300_000) == "x" * 300_000


def test_strings_are_bounded_in_total() -> None:
    """All strings of a snapshot together are limited to four times the limit of one."""
    found = snapshot(["x" * 1000] * 50, 1000)

    assert sum(len(s) for s in found) < 4 * 1000 + 50 * 50


def test_messages_count_as_what_is_in_them() -> None:
    """Messages in a value have the same limits for texts and entries as dicts."""
    texts = [HumanMessage("x" * 2000)] * 50
    blocks = [HumanMessage([{"type": "table", "rows": list(range(9_000))}])] * 50

    assert snapshot(texts, 1000) == snapshot([{"role": "user", "content": "x" * 2000}] * 50, 1000)
    assert len(orjson.dumps(snapshot(blocks))) < 600_000


@pytest.mark.parametrize("encodable", [False, True])
def test_object_with_very_many_attributes_shows_no_secret(encodable: bool) -> None:
    """Of those that do not fit, not even the names are looked at: they are only counted."""
    names = ["password", *(f"n{i}" for i in range(150_000)), "api_key"]
    found = Walk(MAX_FIELD, 10**6, encodable=encodable).value(types.SimpleNamespace(**dict.fromkeys(names, 1)), 0)

    kept = 100_000 if encodable else 10_000
    assert list(found) == ["__type__", *names[1:kept], "…"]
    assert found["…"] == f"[cut: {150_002 - kept:,} of 150,002 entries]"


def test_objects_for_which_no_room_is_left_are_named() -> None:
    """As messages are: their attributes are not read."""
    many = types.SimpleNamespace(**dict.fromkeys(map("n{}".format, range(9_999)), 1))

    assert snapshot([many] * 12)[10:] == ["<types.SimpleNamespace>"] * 2


def test_known_media_are_bounded() -> None:
    """The number of cached digests is bounded, however many media are seen."""
    for number in range(media.MAX_KNOWN + 10):
        snapshot({"base64": base64.b64encode(str(number).encode()).decode()})

    assert len(media._known) <= media.MAX_KNOWN


def test_known_kinds_are_bounded() -> None:
    """A program that keeps creating types does not grow the cache without limit."""
    for _ in range(kinds.MAX_KINDS + 10):
        snapshot(type("T", (), {})())

    assert len(kinds._plans) <= kinds.MAX_KINDS
