"""One object as context manager and decorator, for functions, coroutines, generators and async generators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

if TYPE_CHECKING:
    from coagent_langchain.sessions.prompt import Prompt
    from coagent_langchain.sessions.session import Session

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True, eq=False)
class Frame:
    """One block of a scope, as entered in a context."""

    scope: Scope
    outer: Frame | None
    left: bool = False


_innermost: ContextVar[Frame | None] = ContextVar("coagent_scope", default=None)


def current() -> Session | Prompt | None:
    """The innermost session or prompt of this context; a task may have outlived it."""
    frame = _innermost.get()
    return None if frame is None else frame.scope  # type: ignore[return-value]  # nothing else is a scope


def _open(frame: Frame | None) -> Frame | None:
    """The frame, or the nearest one around it not yet left: blocks may be left in any order, and in any context."""
    while frame is not None and frame.left:
        frame = frame.outer
    return frame


class Scope:  # not an ABC: hooks call isinstance, which an ABC implements in Python
    """`with scope:`, `async with scope:` and `@scope`; what is wrapped keeps its results and exceptions.

    An object may be entered again: while it is open it is the same scope, which ends when the last block is left.
    """

    def __init__(self) -> None:
        self._frames: list[Frame] = []

    def _begin(self) -> None:
        """Open; never raises."""
        raise NotImplementedError

    def _end(self, error: BaseException | None) -> None:
        """Close, given what the body raised; never raises."""
        raise NotImplementedError

    def _raised(self, error: BaseException) -> None:
        """Handle what the body of one block raised while another is still open; never raises."""
        raise NotImplementedError

    def _fresh(self, function: Callable[..., Any]) -> Scope:
        """A new scope for one call of the decorated `function`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        frame = Frame(self, _open(_innermost.get()))
        self._frames.append(frame)
        if self._frames[0] is frame:  # checked after adding it: of threads that enter at once, only one begins
            self._begin()
        _innermost.set(frame)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Not reset by token: an async generator may be closed in a different context from the one that entered.
        frame = _innermost.get()
        while frame is not None and (frame.scope is not self or frame.left):
            frame = frame.outer
        frame = frame or self._frames[-1]
        frame.left = True
        _innermost.set(_open(_innermost.get()))
        self._frames.remove(frame)
        if not self._frames:
            self._end(error)
        elif error is not None:
            self._raised(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)

    def __call__(self, function: F) -> F:
        """Decorate `function`: each call has a scope of its own."""
        kinds = (function, type(function).__call__)  # a callable object's kind is that of its class's `__call__`
        if any(map(inspect.isasyncgenfunction, kinds)):
            wrapper = self._wrap_async_generator(function)
        elif any(map(inspect.iscoroutinefunction, kinds)):
            wrapper = self._wrap_coroutine(function)
        elif any(map(inspect.isgeneratorfunction, kinds)):
            wrapper = self._wrap_generator(function)
        else:
            wrapper = self._wrap_function(function)
        return cast("F", functools.wraps(function)(wrapper))

    def _wrap_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._fresh(function):
                return function(*args, **kwargs)

        return call

    def _wrap_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._fresh(function):
                return await function(*args, **kwargs)

        return call

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            scope = self._fresh(function)
            with scope._lifetime():
                return (yield from _InScope(scope, function(*args, **kwargs)))

        return call

    def _wrap_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            scope = self._fresh(function)
            with scope._lifetime():
                inner = function(*args, **kwargs)
                step, value = inner.asend, None
                while True:
                    try:
                        with scope._current():
                            item = await step(value)
                    except StopAsyncIteration:
                        return
                    try:
                        value = yield item
                        step = inner.asend
                    except GeneratorExit:
                        with scope._current():
                            await inner.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 - handed on to the generator, which may raise it
                        step, value = inner.athrow, error

        return call

    @contextmanager
    def _lifetime(self) -> Iterator[None]:
        error: BaseException | None = None
        self._begin()
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(error)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Make this the current scope while a generator runs, not while its consumer does."""
        outer = _innermost.get()
        _innermost.set(Frame(self, outer))
        try:
            yield
        finally:
            _innermost.set(outer)


class _InScope(Generator[Any, Any, Any]):
    """A generator that runs in its own scope, as its consumer does not."""

    def __init__(self, scope: Scope, inner: Generator[Any, Any, Any]) -> None:
        self._scope = scope
        self._inner = inner

    def send(self, value: Any) -> Any:
        with self._scope._current():
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        with self._scope._current():
            return self._inner.throw(*error)
