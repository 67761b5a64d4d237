"""The workloads: LangChain with models that answer at once, so that a handler's overhead is visible."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import tool

ANSWER = "The capital of France is Paris, as it has been for most of a thousand years."
USAGE = UsageMetadata(input_tokens=24, output_tokens=17, total_tokens=41)
TOOL_CALLS = 5
TOKENS = 200


@cache
def text(size: int) -> str:
    """Non-repeating words, so that compression cannot shrink them to nothing; the same in each process."""
    random = Random(size)
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    words = ("".join(random.choices(syllables, k=random.randint(1, 4))) for _ in itertools.count())
    parts, length = [], 0
    while length < size:
        parts.append(next(words))
        length += len(parts[-1]) + 1
    return " ".join(parts)[:size]


marks = (f"@{number:06d}@" for number in itertools.count())


class InstantModel(BaseChatModel):
    """Answers at once: with `tool_calls` tool calls in a row, then with `answer`."""

    answer: str = ANSWER
    tool_calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "instant"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "instant-1", "temperature": 0.2}

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Offer tools, in the form that providers expect."""
        named = [{"type": "function", "function": {"name": one.name, "description": one.description}} for one in tools]
        return self.bind(tools=named, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = sum(isinstance(message, ToolMessage) for message in messages)
        if asked < self.tool_calls:
            call = {"name": "population", "args": {"city": f"city {asked}"}, "id": f"call-{asked}"}
            message = AIMessage("", tool_calls=[call], usage_metadata=USAGE)
        else:
            message = AIMessage(self.answer, usage_metadata=USAGE, response_metadata={"model_name": "instant-1"})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for number in range(TOKENS):
            usage = USAGE if number == TOKENS - 1 else None
            chunk = ChatGenerationChunk(message=AIMessageChunk(content="word ", usage_metadata=usage))
            if run_manager:
                run_manager.on_llm_new_token("word ", chunk=chunk)
            yield chunk


@tool
def population(city: str) -> str:
    """Tell how many people live in a city."""
    return f"{city} has 2,100,000 inhabitants"


def chain(**model: Any) -> Runnable[dict[str, str], str]:
    """A prompt, a model and a parser."""
    prompt = ChatPromptTemplate([("system", "You answer in one sentence."), ("human", "{question}")])
    return prompt | InstantModel(**model) | StrOutputParser()


def question() -> str:
    """A question with the next mark, by which the sink distinguishes runs."""
    return f"{next(marks)} What is the capital of France?"


def invokes(runs: int, config: RunnableConfig) -> None:
    """(a) prompt | model | parser, one after the other."""
    work = chain()
    for _ in range(runs):
        work.invoke({"question": question()}, config)


def agents(runs: int, config: RunnableConfig) -> None:
    """(b) An agent that calls five tools in a row."""
    from langchain.agents import create_agent

    agent: Runnable[Any, Any] = create_agent(
        InstantModel(tool_calls=TOOL_CALLS), [population], system_prompt="Use the tool."
    )
    for _ in range(runs):
        agent.invoke({"messages": [("user", question())]}, config)


def streams(runs: int, config: RunnableConfig) -> None:
    """(c) A stream of 200 tokens."""
    work = chain()
    for _ in range(runs):
        for _token in work.stream({"question": question()}, config):
            pass


def concurrent(runs: int, config: RunnableConfig) -> None:
    """(d) 200 `ainvoke`s at a time."""
    work = chain()

    async def rounds() -> None:
        for start in range(0, runs, 200):
            size = min(200, runs - start)
            await asyncio.gather(*(work.ainvoke({"question": question()}, config) for _ in range(size)))

    asyncio.run(rounds())


def large(runs: int, config: RunnableConfig) -> None:
    """(e) A prompt of 200 KB and an answer of 100 KB."""
    work = chain(answer=text(100_000))
    prompt = text(200_000)
    for _ in range(runs):
        work.invoke({"question": f"{next(marks)} {prompt}"}, config)


def batches(runs: int, config: RunnableConfig) -> None:
    """(f) `batch` with 16 workers."""
    chain().batch([{"question": question()} for _ in range(runs)], {**config, "max_concurrency": 16})


@dataclass(frozen=True)
class Work:
    """One workload: a column of the tables."""

    title: str
    run: Callable[[int, RunnableConfig], None]
    runs: int
    least: int  # runs that make sense as a piece


WORK = {
    "a": Work("chain", invokes, 2000, 20),
    "b": Work("agent", agents, 200, 2),
    "c": Work("stream", streams, 200, 2),
    "d": Work("async", concurrent, 2000, 200),
    "e": Work("300 KB", large, 200, 2),
    "f": Work("batch ×16", batches, 2000, 200),
}
