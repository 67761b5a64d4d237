"""Fake models: instant and scripted, with usage even when streamed; a prompt for them, and a call that they make."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

PROMPT = ChatPromptTemplate.from_messages([("system", "You are a chef."), ("human", "Cook {food}")])
CALL = {"id": "call_1", "name": "weather", "args": {"city": "Paris"}}
USAGE = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}


class ScriptedChat(BaseChatModel):
    """A chat model that answers from a list, over and over; an exception in the list is raised."""

    script: list[Any]
    place: int = 0
    model: str = "scripted-1"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "fake", "ls_model_name": self.model, "ls_model_type": "chat", "ls_temperature": 0.5}

    def _next(self) -> AIMessage:
        item = self.script[self.place % len(self.script)]
        self.place += 1
        if isinstance(item, BaseException):
            raise item
        return item if isinstance(item, AIMessage) else AIMessage(item, usage_metadata=USAGE)

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next()
        words = str(message.content).split(" ")
        for place, word in enumerate(words):
            last = place == len(words) - 1
            chunk = AIMessageChunk(
                content=word if last else word + " ",
                usage_metadata=message.usage_metadata if last else None,
                tool_call_chunks=[
                    {"name": c["name"], "args": json.dumps(c["args"]), "id": c["id"], "index": i}
                    for i, c in enumerate(message.tool_calls)
                ]
                if last
                else [],
            )
            yield ChatGenerationChunk(message=chunk)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(*args, **kwargs):
            yield chunk

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)


class Silent(ScriptedChat):
    """A chat model that never answers, and sets `asked` when it is called."""

    script: list[Any] = Field(default_factory=list)
    asked: Any = Field(default_factory=asyncio.Event)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


class ScriptedText(BaseLLM):
    """A text model that answers from a list; an exception in the list is raised."""

    script: list[Any]
    place: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted-text"

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        generations = []
        for _ in prompts:
            item = self.script[self.place % len(self.script)]
            self.place += 1
            if isinstance(item, BaseException):
                raise item
            generations.append([Generation(text=item, generation_info={"prompt_eval_count": 7, "eval_count": 3})])
        return LLMResult(generations=generations)


def chat(*script: Any) -> ScriptedChat:
    """A chat model with these responses."""
    return ScriptedChat(script=list(script))


def calls(*tool_calls: tuple[str, dict[str, Any], str], text: str = "") -> AIMessage:
    """A response that calls tools, each given as name, arguments and id."""
    return AIMessage(text, tool_calls=[{"name": n, "args": a, "id": i} for n, a, i in tool_calls], usage_metadata=USAGE)
