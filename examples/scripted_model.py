"""A chat model with scripted answers: the examples need no model and no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult


class ScriptedModel(BaseChatModel):
    """Says `answers` one after the other, then again from the first; one word is one token."""

    answers: Sequence[Any]  # texts and messages
    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Offer tools: the scripted answers say which of them are called."""
        return self.bind(tools=[tool.name for tool in tools], **kwargs)

    def _generate(self, messages: list[BaseMessage], stop: list[str] | None = None,
                  run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any) -> ChatResult:  # fmt: skip
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(self, messages: list[BaseMessage], stop: list[str] | None = None,
                run_manager: CallbackManagerForLLMRun | None = None,
                **kwargs: Any) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        answer = self._next(messages)
        for word in str(answer.content).split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=answer.usage_metadata))

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        answer = self.answers[self.calls % len(self.answers)]
        self.calls += 1
        answer = AIMessage(answer) if isinstance(answer, str) else answer
        given, made = sum(len(str(m.content).split()) for m in messages), len(str(answer.content).split())
        usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
        return answer.model_copy(update={"usage_metadata": usage})


def tool_call(name: str, **arguments: Any) -> AIMessage:
    """A model's answer that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])
