"""Whether LangChain calls our hooks where it is, or in a thread of an executor."""

from __future__ import annotations

import sys
from inspect import getattr_static
from types import FrameType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager


class Inline:
    """`run_inline` of a handler: true, for its hooks neither wait nor block.

    LangChain tells the start of an asynchronous text model to inline handlers, and then to no other
    (langchain-ai/langchain#39633): `astream_events` would have no event of that call. Where it sorts its handlers for
    that, ours is no reason to pass over the application's.
    """

    def __get__(self, handler: Any, owner: type) -> bool:
        manager = _sorting(sys._getframe(1))
        return manager is None or any(self._is_anothers(each) and each.run_inline for each in manager.handlers)

    def _is_anothers(self, handler: Any) -> bool:
        return getattr_static(handler, "run_inline", None) is not self


def _sorting(asking: FrameType | None) -> AsyncCallbackManager | None:
    """The manager that is about to tell the start of a text model, if that is what asks."""
    if asking is not None and asking.f_code.co_name == "<listcomp>":  # a frame of its own until Python 3.12
        asking = asking.f_back
    if asking is None or asking.f_code.co_name != "on_llm_start":
        return None
    manager = asking.f_locals.get("self")
    return manager if isinstance(manager, AsyncCallbackManager) else None
