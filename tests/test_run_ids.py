"""Ids that the application gives to its runs: used again, or texts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnablePassthrough

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import PROMPT, chat
from tests.reading import EMPTY, ONE_CALL_SEQUENCE, of_type, state_of


@pytest.mark.parametrize("run", [RunnablePassthrough() | chat("Soup"), chat("Soup")], ids=["chain", "model"])
def test_config_with_a_run_id_may_be_used_again(run: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each run is logged, with an id of its own, so that calls and responses can be told apart."""
    config: Any = {"callbacks": [handler, handler], "run_id": uuid4()}
    for _ in range(2):
        run.invoke("carrots", config)

    again = [("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1)]
    roots = list(dict.fromkeys(entry["meta"]["trace"]["root_run_id"] for entry in log.entries))
    assert (log.sequence, roots[0], len(roots)) == ([*ONE_CALL_SEQUENCE, *again], str(config["run_id"]), 2)
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("run_id", [str(uuid4()), "request-17"], ids=["a UUID", "no UUID"])
def test_run_whose_id_the_application_gives_as_a_text(
    run_id: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain passes a string run id through as it is: the chain and its children are logged under that id."""
    (PROMPT | chat("Soup")).invoke({"food": "carrots"}, {"callbacks": [handler], "run_id": run_id})

    assert log.sequence == ONE_CALL_SEQUENCE
    assert {entry["meta"]["trace"]["root_run_id"] for entry in of_type(log, "llm_call")} == {run_id}
    assert state_of(handler) == EMPTY


def test_stream_whose_id_the_application_gives_as_a_text(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The time to the first token is measured, and the text so far is kept when the stream is abandoned."""
    run_id: Any = str(uuid4())
    stream = chat("one two").stream("q", {"callbacks": [handler], "run_id": run_id})
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    (response,) = of_type(log, "llm_response")
    assert response["llm_response"]["response"] == "one "
    assert "time_to_first_token_ms" in response["meta"]


def test_sampling_decides_for_ids_that_are_texts(log: MemoryDelivery) -> None:
    """The decision depends on the text, so every process makes the same one; runs sampled out leave no state behind."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0.5)
    for number in range(6):
        run_id: Any = f"request-{number}"
        (PROMPT | chat("Soup")).invoke({"food": run_id}, {"callbacks": [handler], "run_id": run_id})

    assert [entry["prompt"] for entry in of_type(log, "user_input")] == [
        "request-1",
        "request-3",
        "request-4",
        "request-5",
    ]
    assert state_of(handler) == EMPTY
