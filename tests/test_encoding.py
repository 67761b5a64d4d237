"""Entries become lines of JSON, whatever is in them and however large it is."""

from __future__ import annotations

import orjson
from langchain_core.messages import HumanMessage

from coagent_langchain.values.encoding import MAX_LINE, encode


def test_encode_takes_what_json_cannot() -> None:
    """Lone surrogates are escaped, pairs joined, and other types converted; everything else is unchanged."""
    entry = {"a": "x\ud800", "b": "\ud83d\ude00", "c": 2**70, "d": object(), "e": {"\udfff": 1}, "f": 1.5,
             "g": HumanMessage("x\ud800")}  # fmt: skip

    line = encode(entry)

    assert orjson.loads(line) == {
        "a": "x\\ud800", "b": "😀", "c": str(2**70), "d": "<object>", "e": {"\\udfff": 1},
        "f": 1.5, "g": {"role": "user", "content": "x\\ud800"},
    }  # fmt: skip
    assert line.endswith(b"\n")


def test_entry_that_a_server_would_refuse_for_its_size_is_cut() -> None:
    """Many long texts together are cut, with a note, so that the entry is not refused."""
    entry = {"session_id": "s", "history": [{"role": "user", "content": "\x01" * 990_000} for _ in range(9)]}

    line = encode(entry)

    found = orjson.loads(line)
    assert (len(line) < MAX_LINE, found["session_id"], len(found["history"])) == (True, "s", 9)
    assert found["history"][0]["content"].endswith("… [cut: 740,000 of 990,000 characters]")


def test_names_of_fields_and_short_values_outlive_the_cut_of_a_large_entry() -> None:
    """Even if texts use up the limit, an event keeps its fields, numbers and short texts."""
    texts = ["\x01" * 300_000] * 6
    entry = {"texts": texts, "calls": [{"id": "c1"}, "y" * 40, "z" * 41], "total_tokens": 12, "success": True}

    found = orjson.loads(encode(entry))

    kept = [text.count("\x01") for text in found.pop("texts")]
    assert kept == [250_000, 250_000, 250_000, 249_995, 0, 0]
    assert found == {
        "calls": [{"id": "c1"}, "y" * 40, "… [cut: 41 of 41 characters]"], "total_tokens": 12, "success": True,
    }  # fmt: skip


def test_encode_keeps_large_content() -> None:
    """The slow path cuts nothing that the fast path would keep."""
    entry = {"text": "x" * 2_000_000, "list": [{"n": n} for n in range(20_000)], "bad": "\ud800"}

    found = orjson.loads(encode(entry))

    assert found == {**entry, "bad": "\\ud800"}
