"""Filters of a session's entries: presets, JMESPath expressions, and what these may cost."""

from __future__ import annotations

import time

import jmespath
import pytest
import requests
from starlette.exceptions import HTTPException

from coagent_langchain.server import api, filters
from coagent_langchain.server.running import Running
from tests.server.pages import log
from tests.server.samples import entry, put


def filtered(running: Running, pre: str) -> requests.Response:
    """The answer to a filter of the session."""
    return requests.get(f"{running.base_url}/filter_logs/s", params={"pre": pre}, timeout=60)


@pytest.mark.parametrize(("pre", "expected"), [
    ("all", ["session_start", "llm_call", "llm_response", "session_end"]),
    ("log_type_start", ["session_start"]),
    ("log_type_end", ["session_end"]),
    ("log_type_llm_call", ["llm_call"]),
    ("[?turn_number==`1`]", ["llm_call", "llm_response"]),
])  # fmt: skip
def test_filters_select_entries(running: Running, pre: str, expected: list[str]) -> None:
    """The named presets and a JMESPath expression."""
    log(running, [entry("session_start", 0), entry("llm_call", 1, turn_number=1),
                  entry("llm_response", 2, turn_number=1, llm_response={"total_tokens": 5}),
                  entry("session_end", 3)])  # fmt: skip

    assert [found["event_type"] for found in filtered(running, pre).json()] == expected


def test_filters_project(running: Running) -> None:
    """The token preset, and any projection."""
    used = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    log(running, [entry("llm_response", llm_response=used)])

    assert filtered(running, "lmmcall_tokens").json() == [used]
    assert filtered(running, "sum([].llm_response.total_tokens)").json() == 5


@pytest.mark.parametrize("pre", [
    "to_string(@)", "[].to_string(input_data.n)", "[].to_string(prompt)", "join(', ', [].prompt)", "reverse([].prompt)",
    "[].reverse(prompt)",
])  # fmt: skip
def test_functions_write_what_jmespath_says(running: Running, pre: str) -> None:
    """The functions that count their output give the same results as the library's own."""
    entries = [entry(at=n, prompt=f"Zürich {n}", input_data={"n": n}) for n in range(2)]
    log(running, entries)

    assert filtered(running, pre).json() == jmespath.search(pre, entries)


@pytest.mark.parametrize("pre", [
    "[", "foo(", "sum(@)", "x" * 1001, " | ".join(["[@,@]"] * 14), " | ".join(["[@,@][]"] * 14),
    " | ".join(["{a:@,b:@}"] * 20), "(" * 900 + "a" + ")" * 900, "abs('x')", "[::0]", "&foo",
    r'`"\ud800"`',
])  # fmt: skip
def test_hostile_filters_are_refused(running: Running, pre: str) -> None:
    """Invalid, too long, too deep, or multiplying: a 400 with the reason, at once."""
    log(running, [entry(at=n, prompt="x" * 100) for n in range(300)])
    began = time.process_time()  # processor time: the machine may be busy
    answer = filtered(running, pre)
    took = time.process_time() - began

    assert (answer.status_code, took < 1) == (400, True)


def test_filter_whose_result_is_no_json_is_refused(running: Running) -> None:
    """A sum beyond 64 bits: a 400 with the reason."""
    log(running, [entry("info", n, input_data={"n": 2**64 - 1}) for n in range(2)])
    answer = filtered(running, "sum([].input_data.n)")

    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "the filter's result is not JSON: Integer exceeds 64-bit range",
    )


def test_filter_reads_so_many_bytes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are parsed in memory."""
    monkeypatch.setattr(api, "MAX_FILTERED_BYTES", 1_000_000)
    put(running.store, *(entry(at=number, prompt="x" * 400_000) for number in range(3)))
    answer = requests.get(f"{running.base_url}/filter_logs/s", timeout=10)

    message = "a filter reads sessions of up to 20000 entries and 1 MB; read /logs instead"
    assert (answer.status_code, answer.json()["message"]) == (400, message)


@pytest.mark.parametrize("growing", [
    f"[{','.join('@' * 100)}]",
    " | ".join(["{a: @, b: @}"] * 14),
    " | ".join(["[@, @][]"] * 14),
    "[*].[@, {long: @}]",
    f"{'to_string(to_array(' * 40}@{'))' * 40}",  # each level doubles the quotes of the inner one
    "join([0], @)",
    "join([0], [?@ == ''])",  # nothing but separators
    "[*].reverse(@)",
])  # fmt: skip
def test_filter_that_takes_too_many_steps_is_refused(monkeypatch: pytest.MonkeyPatch, growing: str) -> None:
    """Before it fills the memory: an expression of a few characters can multiply values and texts without end."""
    monkeypatch.setattr(filters, "MAX_STEPS", 200)
    with pytest.raises(HTTPException, match="a filter takes at most 200 steps"):
        filters.apply(growing, ["x" * 1000] * 20 + [""] * 20)


def test_names_of_an_object_count_as_its_values_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few values, but long names."""
    monkeypatch.setattr(filters, "MAX_STEPS", 100)
    with pytest.raises(HTTPException, match="a filter takes at most 100 steps"):
        filters.apply("[@]", [{"x" * 20_000: 1}])


def test_filter_may_have_many_columns_side_by_side() -> None:
    """Over as many entries as a filter reads."""
    columns = f"[*].{{{', '.join(f'c{number}: n' for number in range(20))}}}"
    found = filters.apply(columns, [{"n": 1}] * api.MAX_FILTERED)

    assert found.count(b'"c19":1') == api.MAX_FILTERED


def test_filter_may_return_all_texts_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are there already, however long: only what a filter makes of them counts."""
    monkeypatch.setattr(filters, "MAX_STEPS", 200)
    found = filters.apply("[?contains(answer.text, 'x')].answer.text", [{"answer": {"text": "x" * 5000}}] * 10)

    assert found.count(b"x") == 50_000


def test_filter_is_told_shortly_what_does_not_fit() -> None:
    """JMESPath's own message repeats the value, which may be an entire entry."""
    with pytest.raises(HTTPException) as raised:
        filters.apply("sum(@)", ["x" * 1_000_000])

    assert len(raised.value.detail) < 400
