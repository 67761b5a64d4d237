"""A call's cost is that of the price list, looked up once per model."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as Tokens
from genai_prices import calc_price
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from coagent_langchain.values import cost as module
from coagent_langchain.values.cost import cost
from coagent_langchain.values.tokens import Usage
from tests.fakes import USAGE, ScriptedChat
from tests.reading import of_type
from tests.server.drawing import timeline

MODELS = [
    ("openai", "openai", "gpt-4o"),
    ("azure", "azure", "gpt-4o"),
    ("anthropic", "anthropic", "claude-sonnet-4-5-20250929"),
    ("google_genai", "google", "gemini-2.5-pro"),
    ("amazon_bedrock", "aws", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
    ("groq", "groq", "llama-3.3-70b-versatile"),
    ("deepseek", "deepseek", "deepseek-chat"),
    (None, None, "gpt-4o-mini"),
]


def used(tokens: int | None, answered: int | None, **details: int) -> Usage:
    """Usage with the given input details."""
    return Usage(tokens, answered, None, {"input_token_details": details} if details else {})


@given(
    st.sampled_from(MODELS), st.integers(0, 2_000_000), st.integers(0, 100_000), st.integers(0, 10), st.integers(0, 5)
)
@example(MODELS[2], 200_000, 100, 5, 1)
@example(MODELS[2], 200_001, 100, 5, 1)
@example(MODELS[3], 200_000, 100, 5, 0)
@settings(deadline=None)
def test_the_cost_is_the_price_lists(model: Any, tokens: int, answered: int, read: int, hour: int) -> None:
    """For any input size and cached share, the cost is that of `genai-prices`, to a billionth of a dollar."""
    provider, listed, name = model
    reads, writes = tokens * read // 30, tokens * hour // 30
    usage = used(tokens, answered, cache_read=reads, cache_creation=0, ephemeral_1h_input_tokens=writes)

    expected = calc_price(
        Tokens(
            input_tokens=tokens, output_tokens=answered, cache_read_tokens=reads, cache_write_tokens=writes,
            cache_write_1h_tokens=writes,
        ),
        name, provider_id=listed,
    )  # fmt: skip
    assert cost(provider, name, usage) == pytest.approx(float(expected.total_price), abs=1e-9)


def test_input_written_to_the_cache_is_priced_by_how_long_it_stays() -> None:
    """LangChain gives Anthropic's writes by lifetime, and then 0 as their sum; a mere sum stays five minutes."""
    plain, unknown, minutes, hour = (
        cost("anthropic", "claude-sonnet-4-5-20250929", used(1000, 0, **written))
        for written in (
            {},
            {"cache_creation": 1000},
            {"cache_creation": 0, "ephemeral_5m_input_tokens": 1000},
            {"cache_creation": 0, "ephemeral_1h_input_tokens": 1000},
        )
    )

    assert plain is not None
    assert minutes is not None
    assert hour is not None
    assert plain < minutes < hour
    assert unknown == minutes


def test_service_tiers_have_their_price() -> None:
    """A flex call is priced as flex, including its cached part."""
    standard = cost("openai", "gpt-5", used(1000, 100, cache_read=500))
    flex = cost("openai", "gpt-5", used(1000, 100, flex=500, flex_cache_read=500))

    assert flex is not None
    assert standard is not None
    assert flex == pytest.approx(standard / 2)


def test_sound_has_its_price() -> None:
    """Audio tokens are priced as audio."""
    heard = cost("openai", "gpt-audio", used(1000, 0, audio=1000))
    read = cost("openai", "gpt-audio", used(1000, 0))

    assert heard is not None
    assert read is not None
    assert heard > 10 * read


def test_what_langchain_cached_is_free() -> None:
    """An answer from LangChain's own cache costs nothing."""
    assert cost("openai", "gpt-4o", Usage(1000, 100, 1100, cached=True)) == 0.0


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "no-such-model", used(1, 1)),
        ("no-such-provider", "gpt-4o", used(1, 1)),
        ("ollama", "llama3.2", used(1, 1)),
        ("openai", None, used(1, 1)),
        ("openai", "gpt-4o", None),
        ("openai", "gpt-4o", Usage(None, None, 10)),
        ("openai", "gpt-4o", used(5, 1, cache_read=10)),
    ],
)
def test_an_unknown_cost_is_none(provider: Any, model: Any, usage: Any) -> None:
    """Without a known price, model and token count, there is no cost instead of a wrong one."""
    assert cost(provider, model, usage) is None


def test_what_is_remembered_is_bounded() -> None:
    """A program that uses ever new model names does not grow the cache without limit."""
    for number in range(module.MAX_MODELS + 10):
        cost("openai", f"no-such-model-{number}", used(1, 1))

    assert len(module._cache.models) <= module.MAX_MODELS


def test_prices_are_loaded_late() -> None:
    """Importing the module loads no prices; preparing does."""
    program = """
        import sys
        from coagent_langchain.values import cost
        assert "genai_prices" not in sys.modules
        cost.prepare()
        assert "genai_prices.data" in sys.modules
    """

    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_without_the_extra_there_is_no_cost() -> None:
    """If `genai-prices` is not installed, costs are None and nothing fails; the import is tried once."""
    program = """
        import sys
        from importlib.machinery import PathFinder
        looked = []
        class Without(PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name == "genai_prices":
                    return looked.append(name)
                return super().find_spec(name, path, target)
        sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
        from coagent_langchain.values.cost import cost, prepare
        from coagent_langchain.values.tokens import Usage
        prepare()
        assert [cost("openai", "gpt-4o", Usage(1, 1)) for _ in range(3)] == [None] * 3
        assert len(looked) == 1
    """

    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_prices_that_cannot_be_loaded_are_reported_once(tmp_path: Path) -> None:
    """The application does not notice: a handler is created, and its responses have no cost."""
    (tmp_path / "genai_prices").mkdir()
    (tmp_path / "genai_prices" / "__init__.py").touch()
    (tmp_path / "genai_prices" / "data_snapshot.py").write_text("def get_snapshot():\n    raise TypeError('pydantic')")
    program = """
        import logging, sys
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        from coagent_langchain import CoagentCallbackHandler
        from coagent_langchain.testing import MemoryDelivery
        from coagent_langchain.values.cost import cost
        from coagent_langchain.values.tokens import Usage
        handlers = [CoagentCallbackHandler(delivery=MemoryDelivery()) for _ in range(2)]
        print(cost("openai", "gpt-4o", Usage(1, 1)))
    """

    started = [sys.executable, "-c", textwrap.dedent(program)]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(started, check=True, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": path})  # fmt: skip

    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("the prices cannot be loaded; no cost is logged", "None")
    assert (done.stdout.count("TypeError: pydantic"), done.stderr) == (1, "")


def test_model_of_the_users_own_class_is_named_and_priced_by_its_answer(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain derives a provider from the class; the response's model and provider are used instead."""

    class Router(ScriptedChat):
        def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
            return {"ls_provider": "router", "ls_model_type": "chat"}

    metadata = {"model_name": "gpt-4o-mini", "model_provider": "openai"}
    said = AIMessage("hi", response_metadata=metadata, usage_metadata=USAGE)
    Router(script=[said]).invoke("q", {"callbacks": [handler]})

    (response,) = of_type(log, "llm_response")
    priced = cost("openai", "gpt-4o-mini", Usage(USAGE["input_tokens"], USAGE["output_tokens"]))
    assert priced is not None
    assert response["performance_metrics"]["cost"] == priced
    (bar,) = timeline(log.entries).models
    assert (bar.label, bar.cost) == ("gpt-4o-mini", priced)


def test_cost_of_a_session_is_that_of_all_its_calls(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each call adds its own."""
    metadata = {"model_name": "gpt-4o-mini", "model_provider": "openai"}
    said = AIMessage("hi", response_metadata=metadata, usage_metadata=USAGE)
    with handler.session("q"):
        for _ in range(3):
            ScriptedChat(script=[said]).invoke("q", {"callbacks": [handler]})

    costs = [e["performance_metrics"]["cost"] for e in of_type(log, "llm_response")]
    assert len(costs) == 3
    assert log.entries[-1]["meta"]["cost"] == pytest.approx(sum(costs))


@pytest.mark.parametrize(("names", "unpriced"), [
    (["gpt-4o-mini", "no-such-model", "no-such-model"], 2), (["no-such-model"], None), (["gpt-4o-mini", None], None),
])  # fmt: skip
def test_session_end_says_how_many_calls_its_cost_leaves_out(
    names: list[str | None], unpriced: int | None, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A partial sum does not look complete; without any price, or without tokens, there is no count."""
    with handler.session("q"):
        for name in names:
            metadata = {"model_name": name, "model_provider": "openai"}
            said = AIMessage("hi", response_metadata=metadata, usage_metadata=USAGE if name else None)
            ScriptedChat(script=[said]).invoke("q", {"callbacks": [handler]})

    assert log.entries[-1]["meta"].get("unpriced_calls") == unpriced
