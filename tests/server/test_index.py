"""The search index beside a store's file: built late, rebuilt, and never in the way."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path

import pytest
import requests

from coagent_langchain import server
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import search, sqlite_index
from coagent_langchain.server.store.search import Terms
from coagent_langchain.server.store.sqlite_file import PAGE_SIZE, connect, transaction
from tests.disk import largest_file
from tests.server.files import damage, opened, until_indexed
from tests.server.samples import T0, entry, holding, put
from tests.waiting import until


def test_index_that_cannot_be_made_leaves_the_store_free(address: str, tmp_path: Path) -> None:
    """The obstacle is named, and once it is gone the store opens."""
    (tmp_path / "coagent.db.search").mkdir()
    with pytest.raises(ConfigurationError) as refused:
        server.open_store(address)
    (tmp_path / "coagent.db.search").rmdir()
    server.open_store(address).close()

    assert str(refused.value) == f"{tmp_path}/coagent.db.search cannot be used as a store: Is a directory"


def test_index_that_is_damaged_is_made_again(address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the server starts, which reports it."""
    with opened(address) as store:
        put(store, *(entry(prompt="zebrafinch") for n in range(3 * sqlite_index.BLOCK)))
    (tmp_path / "coagent.db.search").write_bytes(b"\xff" * 9 * PAGE_SIZE)
    with opened(address) as store:
        until_indexed(store, 3)
        found = holding(store, "zebrafinch")

    assert (found, [record.getMessage() for record in caplog.records]) == (
        ["s"],
        [f"the search index is rebuilt: {tmp_path}/coagent.db.search: file is not a database"],
    )


def test_search_names_an_index_that_is_damaged(address: str, tmp_path: Path) -> None:
    """The store itself must not appear damaged; everything else keeps working."""
    with opened(address) as store:
        put(store, *(entry(prompt="zebrafinch") for n in range(3 * sqlite_index.BLOCK)))
        until_indexed(store, 3)
    damage(tmp_path / "coagent.db.search", "words_data")
    with server.launch(address) as running:
        found = requests.get(f"{running.url}/?q=zebrafinch", timeout=10)
        runs = requests.get(f"{running.base_url}/runs", timeout=10)

    assert (found.status_code, runs.json()) == (503, ["s"])
    assert "the search index is damaged: " in found.json()["message"]


def test_indexing_and_storing_do_not_wait_for_each_other(address: str, tmp_path: Path) -> None:
    """The index is written while another connection holds a write lock on the entries' file."""
    with opened(address) as store:
        put(store, *(entry(at=n) for n in range(10 * sqlite_index.BLOCK)))
        with contextlib.closing(connect(tmp_path / "coagent.db")) as writer, transaction(writer):
            until_indexed(store, 10)


def test_index_catches_up_and_finds_the_same(address: str, tmp_path: Path) -> None:
    """Search finds the same before indexing, after it, and after the index was deleted."""
    with opened(address) as store:
        put(store, *(entry(session_id=f"s{n}", prompt=f"word{n} ünï\x00after\nline gpt-4o ☃") for n in range(100)))
        texts = ["word7", "after", "ÜNÏ", "gpt-4o line", "line", "☃", "g"]
        fresh = [holding(store, text) for text in texts]
        until_indexed(store, 101 // sqlite_index.BLOCK)
        indexed = [holding(store, text) for text in texts]
    (tmp_path / "coagent.db.search").unlink()
    with opened(address) as store:
        again = [holding(store, text) for text in texts]

    assert [len(found) for found in fresh] == [11, 100, 100, 100, 100, 100, 100]
    assert fresh == indexed == again


def test_index_of_another_version_is_rebuilt(address: str, tmp_path: Path) -> None:
    """It lacks what that version did not index; here it has nothing."""
    path = tmp_path / "coagent.db.search"
    with opened(address) as store:
        put(store, entry(prompt="word"), *(entry(session_id="other") for _ in range(3 * sqlite_index.BLOCK)))
        until_indexed(store, 3)
    with contextlib.closing(connect(path)) as connection:
        connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
        connection.execute("PRAGMA user_version = 0")
    with opened(address) as store:
        until_indexed(store, 3)
        found = holding(store, "word")

    assert found == ["s"]


@pytest.mark.parametrize(("text", "word"), [
    ("re\u0301sume\u0301", "re\u0301sume\u0301"),  # accents as combining characters, as macOS writes file names
    ("🤖agent", "agent"),  # newer than SQLite's Unicode tables
    ("\u0130stanbul", "\u0130stanbul"),
    ("aa\u19b0bb", "aa\u19b0bb"),  # one word to us, two to SQLite
])  # fmt: skip
def test_index_finds_words_of_every_script(address: str, text: str, word: str) -> None:
    """Indexed text is found even if SQLite classifies its characters differently from the search."""
    with opened(address) as store:
        put(store, entry(session_id="found", prompt="first"), entry(session_id="found", output_data={"said": text}))
        put(store, *(entry(session_id="other", prompt="something else") for _ in range(3 * sqlite_index.BLOCK)))
        until_indexed(store, 3)

        assert holding(store, word) == ["found"]


def test_index_finds_whole_numbers(address: str) -> None:
    """Those in parameters, results and data, but no figures."""
    numbers = [4711, -5822, 2**63 - 1]
    content = {"list": [{"order_id": numbers}]}
    places = {"tool_call": {"parameters": content}, "tool_response": {"parameters": content}, "input_data": content,
              "metadata": content}  # fmt: skip
    figures = {"llm_response": {"output_tokens": 4711}, "meta": {"usage": {"output_tokens": 4711}}}
    with opened(address) as store:
        put(store, *(entry(session_id=field, **{field: content}) for field, content in places.items()))
        put(store, *(entry(session_id="other", **figures) for _ in range(3 * sqlite_index.BLOCK)))
        until_indexed(store, 3)

        assert [holding(store, str(number)) for number in numbers] == [sorted(places)] * 3


def test_offered_tools_are_not_indexed(address: str) -> None:
    """Otherwise a search for a tool would read every call that offers it."""
    with opened(address) as store:
        put(
            store,
            *(entry(meta={"tools_offered": ["get_order"]}, prompt="hello") for _ in range(3 * sqlite_index.BLOCK)),
        )
        until_indexed(store, 3)
        with store._pool.connection() as connection:  # type: ignore[attr-defined]
            read = {text: [*sqlite_index.ranges(connection, Terms(text))][1:] for text in ("get_order", "hello")}

    assert read == {"get_order": [], "hello": [(16, 24), (8, 16), (0, 8)]}


def test_index_that_the_disk_has_no_room_for_is_written_when_it_has(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing is retried until then."""
    monkeypatch.setattr(sqlite_index, "RETRY", 0.01)
    with opened(address) as store:
        put(store, *(entry(at=n) for n in range(3 * sqlite_index.BLOCK)))
    (tmp_path / "coagent.db.search").unlink()
    asked = itertools.count()
    tried = threading.Event()

    def latest() -> int:
        if next(asked) > 12:  # an attempt asks four times
            tried.set()
        return 3 * sqlite_index.BLOCK

    with contextlib.closing(sqlite_index.Index(tmp_path / "coagent.db", latest)) as made:
        with largest_file(1):
            made.start()
            assert tried.wait(10)
            indexed = made.blocks
        until(lambda: made.blocks == 3)

    assert indexed == 0


def test_every_entry_is_indexed_in_however_many_steps(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last of each step, too."""
    monkeypatch.setattr(sqlite_index, "STEP", 1)
    monkeypatch.setattr(sqlite_index, "PAUSE", 0)
    numbers = [f"{number:02}" for number in range(3 * sqlite_index.BLOCK)]
    with opened(address) as store:
        put(store, *(entry(session_id=f"s{number}", prompt=f"word{number}") for number in numbers))
        until_indexed(store, 3)
        found = [holding(store, f"word{number}") for number in numbers]

    assert found == [[f"s{number}"] for number in numbers]


def test_index_gives_the_newest_first(address: str) -> None:
    """If more sessions have a word than a search lists, the older ones are left out."""
    ids = [f"s{number:03}" for number in range(16 * sqlite_index.BLOCK)]
    with opened(address) as store:
        put(store, *(entry(session_id=name, prompt="everywhere") for name in ids))
        until_indexed(store, 16)

        assert holding(store, "everywhere") == ids[-search.FOUND :]


@pytest.mark.parametrize(("behind", "indexed"), [(0, False), (2 * sqlite_index.MAX_LAG, True)])
def test_index_waits_for_the_end_of_a_burst(address: str, tmp_path: Path, behind: int, indexed: bool) -> None:
    """While many entries arrive it leaves the processor to them, unless it is very far behind."""
    server.open_store(address).close()
    (tmp_path / "coagent.db.search").unlink()
    seen: list[int] = []
    ended = threading.Event()

    def latest() -> int:
        if len(seen) < 15:
            seen.append(made.blocks)
        else:
            ended.set()
        return behind + len(seen) * 2 * sqlite_index.BURST

    made = sqlite_index.Index(tmp_path / "coagent.db", latest)
    made.start()
    assert ended.wait(10)
    made.close()

    assert (max(seen) > 0) == indexed


def test_numbers_of_pruned_entries_are_not_used_again(address: str) -> None:
    """A new entry after everything was pruned is found, though blocks with those numbers were indexed before."""
    with opened(address) as store:
        put(store, *(entry(prompt="old") for n in range(64)))
        until_indexed(store, 64 // sqlite_index.BLOCK)
        server.open_beside(address).prune(T0 + 1)
    with opened(address) as store:
        put(store, entry(session_id="young", prompt="new"))
        found = holding(store, "new")

    assert found == ["young"]
