"""How the handler's time grows with depth, width and history: linear at worst. `python -m benchmarks.growth`.

The runs are made with LangChain's own callback managers, as `invoke` makes them, so that a thousand can be nested
without a thousand stack frames. The cost of a do-nothing handler is subtracted.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable

from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from benchmarks.handlers import Nothing
from benchmarks.sink import SinkProcess

REPEATS = 5
MODEL = {"name": "instant", "id": ["instant"]}
ANSWER = LLMResult(generations=[[ChatGeneration(message=AIMessage("Paris."))]])
ASKED: list[BaseMessage] = [HumanMessage("What is the capital of France?")]


def manager_of(handler: BaseCallbackHandler) -> CallbackManager:
    """The manager that `invoke` makes of `callbacks=[handler]`: the runs below inherit the handler."""
    return CallbackManager([handler], inheritable_handlers=[handler])


def call_model(manager: CallbackManager, messages: list[BaseMessage]) -> None:
    """Make one run of a chat model."""
    for run in manager.on_chat_model_start(MODEL, [messages]):
        run.on_llm_end(ANSWER)


def depth(size: int, handler: BaseCallbackHandler) -> None:
    """Make nested chains, each of which calls a model."""
    manager, runs = manager_of(handler), []
    for _ in range(size):
        runs.append(manager.on_chain_start({}, {"question": "?"}, name="level"))
        manager = runs[-1].get_child()
        call_model(manager, ASKED)
    for run in reversed(runs):
        run.on_chain_end({"answer": "Paris."})


def width(size: int, handler: BaseCallbackHandler) -> None:
    """Make one chain that calls a model repeatedly."""
    root = manager_of(handler).on_chain_start({}, {"question": "?"}, name="root")
    for _ in range(size):
        call_model(root.get_child(), ASKED)
    root.on_chain_end({"answer": "Paris."})


def parallel(size: int, handler: BaseCallbackHandler) -> None:
    """Make one chain under which all model calls are open at the same time."""
    root = manager_of(handler).on_chain_start({}, {"question": "?"}, name="root")
    runs = [run for _ in range(size) for run in root.get_child().on_chat_model_start(MODEL, [ASKED])]
    for run in runs:
        run.on_llm_end(ANSWER)
    root.on_chain_end({"answer": "Paris."})


def history(size: int, handler: BaseCallbackHandler) -> None:
    """Make an agent's loop: 20 model calls with the conversation so far, `size` messages and two more each time."""
    root = manager_of(handler).on_chain_start({}, {"question": "?"}, name="agent")
    messages: list[BaseMessage] = []
    for number in range(size // 2):
        messages += [HumanMessage(f"Question {number}: what is the capital?"), AIMessage(f"Answer {number}: Paris.")]
    for number in range(20):
        call_model(root.get_child(), list(messages))
        messages += [HumanMessage(f"One more question {number}?"), AIMessage(f"One more answer {number}.")]
    root.on_chain_end({"answer": "Paris."})


SHAPES: dict[str, tuple[Callable[[int, BaseCallbackHandler], None], str, tuple[int, ...]]] = {
    "depth": (depth, "nested chains", (125, 250, 500, 1000)),
    "width": (width, "model calls under one chain", (1250, 2500, 5000, 10_000)),
    "parallel": (parallel, "model calls open at once", (1250, 2500, 5000, 10_000)),
    "history": (history, "messages before each of 20 calls", (62, 125, 250, 500)),
}


def best_seconds(work: Callable[[int, BaseCallbackHandler], None], size: int, handler: BaseCallbackHandler) -> float:
    """The shortest CPU time of the calling thread for the work."""
    times = []
    for _ in range(REPEATS):
        gc.collect()
        started = time.thread_time()
        work(size, handler)
        times.append(time.thread_time() - started)
    return min(times)


def main() -> None:
    """Print a row for each shape and size; `growth` is the time over that of half the size: 2 if it is linear."""
    from coagent_langchain import CoagentCallbackHandler

    print("| shape | size | | added ms | µs each | growth |\n|---|---|---|---|---|---|")
    with SinkProcess() as sink, tempfile.TemporaryDirectory() as folder:
        handler = CoagentCallbackHandler(session_id="growth", base_url=f"{sink.url}/api/v1", spool_dir=folder)
        for name, (work, what, sizes) in SHAPES.items():
            before = 0.0
            for size in sizes:
                added = best_seconds(work, size, handler) - best_seconds(work, size, Nothing())
                handler.flush(30)
                growth = f"{added / before:.1f}" if before > 0 else ""
                print(
                    f"| {name} | {size} | {what} | {added * 1e3:.1f} | {added / size * 1e6:.1f} | {growth} |",
                    flush=True,
                )
                before = added
        handler.close()


if __name__ == "__main__":
    main()
