"""The handlers that are compared, each with its default settings and sending to the local sink.

A factory takes the sink's address and returns the callbacks to pass, and a function that delivers what is pending.
OpenTelemetry instrumentations install themselves: they have no callbacks to pass.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from benchmarks.work import WORK

FLUSH_S = 30.0  # seconds that a flush may take
Made = tuple[list[BaseCallbackHandler], Callable[[], Any]]
Call = tuple[str, tuple[Any, ...], dict[str, Any]]

made: list[str] = []  # temporary folders, to be removed by the caller
HOOKS = sorted(name for name in dir(BaseCallbackHandler) if name.startswith("on_"))


def _nothing(self: Any, *args: Any, **kwargs: Any) -> None:
    """Take the event and do nothing."""


Nothing = type("Nothing", (BaseCallbackHandler,), {"run_inline": True, **dict.fromkeys(HOOKS, _nothing)})


def recorded(work: str) -> list[Call]:
    """The hooks that LangChain calls in one run of a workload, in order, with their arguments."""
    calls: list[Call] = []

    def recorder(name: str) -> Callable[..., None]:
        return lambda self, *args, **kwargs: calls.append((name, args, kwargs))

    handler = type("Recording", (Nothing,), {name: recorder(name) for name in HOOKS})()
    WORK[work].run(1, {"callbacks": [handler]})
    return calls


def _folder() -> str:
    made.append(tempfile.mkdtemp(prefix="benchmark-"))
    return made[-1]


def none(url: str) -> Made:
    """No handler at all: the baseline."""
    return [], lambda: None


def nothing(url: str) -> Made:
    """All hooks defined, each empty: LangChain's own overhead for a handler."""
    return [Nothing()], lambda: None


def ours(url: str, **options: Any) -> Made:
    """This package: spool on disk, full content, default components, delivery to the sink."""
    from coagent_langchain import CoagentCallbackHandler

    handler = CoagentCallbackHandler(session_id="bench", base_url=f"{url}/api/v1", spool_dir=_folder(), **options)
    return [handler], lambda: handler.flush(FLUSH_S)


def ours_unsampled(url: str) -> Made:
    """This package with a sampling rate of 0: no run is logged."""
    return ours(url, sample_rate=0.0)


def langsmith(url: str) -> Made:
    """LangSmith's tracer."""
    from langchain_core.tracers import LangChainTracer
    from langsmith import Client

    client = Client(api_url=url, api_key="bench")
    return [LangChainTracer(client=client, project_name="bench")], lambda: client.flush(FLUSH_S)


def langfuse(url: str) -> Made:
    """Langfuse's callback handler."""
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    client = Langfuse(public_key="pk-bench", secret_key="sk-bench", base_url=url)
    return [CallbackHandler()], client.flush


def _tracer_provider(url: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    return provider


def openinference(url: str) -> Made:
    """OpenInference's instrumentation with the OTLP exporter."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    provider = _tracer_provider(url)
    LangChainInstrumentor().instrument(tracer_provider=provider)
    return [], provider.force_flush


def openllmetry(url: str) -> Made:
    """OpenLLMetry's instrumentation with the OTLP exporter."""
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    provider = _tracer_provider(url)
    LangchainInstrumentor().instrument(tracer_provider=provider)
    return [], provider.force_flush


def mlflow(url: str) -> Made:
    """MLflow's autologging with its OTLP exporter."""
    os.environ |= {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",  # the global provider, which can be flushed
        "MLFLOW_TRACKING_URI": f"file://{_folder()}",
    }
    import mlflow.langchain
    from opentelemetry import trace

    mlflow.langchain.autolog(silent=True)
    return [], lambda: trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]


def posthog(url: str) -> Made:
    """PostHog's callback handler."""
    from posthog import Posthog
    from posthog.ai.langchain import CallbackHandler

    client = Posthog("phc_bench", host=url)
    return [CallbackHandler(client, distinct_id="bench")], client.flush


OURS: dict[str, Callable[[str], Made]] = {"none": none, "nothing": nothing, "ours": ours, "ours-0": ours_unsampled}
PEERS: dict[str, Callable[[str], Made]] = {
    "langsmith": langsmith,
    "langfuse": langfuse,
    "openinference": openinference,
    "openllmetry": openllmetry,
    "posthog": posthog,
    "mlflow": mlflow,
}
HANDLERS = OURS | PEERS
