"""A stand-in for Ollama: a real HTTP server that speaks Ollama's API and gives scripted answers.

Each word counts as one token, in `prompt_eval_count` and in `eval_count`, and is streamed as one piece; durations are
measured. There is no model behind it.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from coagent_langchain.testing.replies import Answer, Failure, OllamaRequest, Script, as_answers, told
from coagent_langchain.wire import JsonObject

_WORD = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")  # with the whitespace before it; the last one also with that after it


def count_tokens(text: str) -> int:
    """Count tokens as the stand-in does: each word is one."""
    return len(text.split())


class OllamaStandIn:
    """An HTTP server on a free port of 127.0.0.1 that answers as Ollama does; a context manager.

    Parameters:
        script: the replies in order, or a function from `OllamaRequest` to the reply. A reply is a string, a mapping
            or pydantic model (sent as JSON: structured output), a `ToolUse`, an `Answer`, or a `Failure`.
        models: the names of the models that it offers.
        tokens_per_second: how fast it streams; None for as fast as possible.

    Raises:
        TypeError: one of the replies is invalid, or a single reply or model is given instead of a list. If a function
            returns an invalid reply, or raises, the client gets the error instead.

    Attributes:
        url: the address, for `base_url=` or `OLLAMA_HOST`.
        requests: the requests it received, in order.
    """

    def __init__(
        self, script: Script, *, models: Iterable[str] = ("llama3.2",), tokens_per_second: float | None = None
    ) -> None:
        if isinstance(models, str):
            raise TypeError(f"models must be a list of names: [{models!r}]")
        self.models = tuple(models)
        self.requests: list[OllamaRequest] = []
        self.pause = 1 / tokens_per_second if tokens_per_second else 0.0
        self._script = script if callable(script) else iter(as_answers(script))
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def reply(self, request: OllamaRequest) -> Answer | Failure:
        """The scripted reply to `request`; when the script has ended, a failure that says so."""
        with self._lock:
            self.requests.append(request)
            if callable(self._script):
                return told(self._script, request)
            return next(self._script, Failure(f"the script has no reply {len(self.requests)}"))


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # `server_close` waits for them: nothing is left running
    request_queue_size = 128

    def __init__(self, stand_in: OllamaStandIn) -> None:
        self.stand_in = stand_in
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print errors of the stand-in, but not that a client disconnected, after a time-out or amid a stream."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that a silent client may hold a connection
    wbufsize = -1  # buffered, so that a piece is sent as one packet when flushed

    def log_message(self, *args: object) -> None:
        """Log no requests to stderr."""

    def do_GET(self) -> None:
        if self.path == "/api/tags":
            self._json({"models": [_described(name) for name in self.server.stand_in.models]})
        else:
            self._json({"error": f"the stand-in has no {self.path}"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        model = body.get("model", "")
        if not any(model in (name, name.partition(":")[0]) for name in self.server.stand_in.models):
            self._json({"error": f"model '{model}' not found"}, 404)
        elif self.path in ("/api/chat", "/api/generate"):
            self._answer(OllamaRequest(self.path, body, _messages(body)))
        else:
            self._json({"error": f"the stand-in has no {self.path}"}, 404)

    def _answer(self, request: OllamaRequest) -> None:
        pause = self.server.stand_in.pause
        reply = self.server.stand_in.reply(request)
        if isinstance(reply, Failure) and reply.after is None:
            self._json({"error": reply.message}, reply.status)
        elif request.body.get("stream", True):
            self._head("application/x-ndjson", ("Transfer-Encoding", "chunked"))
            for part in _parts(request, reply, pause):
                self._chunk(json.dumps(part).encode() + b"\n")
            if isinstance(reply, Answer):
                self._chunk(b"")  # without it the client sees a connection that was cut
        elif isinstance(reply, Answer):
            self._json(_whole(request, reply, pause))
        else:
            self.close_connection = True  # cut before anything was sent: the answer would have come as one piece

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, content: JsonObject, status: int = 200) -> None:
        data = json.dumps(content).encode()
        self._head("application/json", ("Content-Length", str(len(data))), status)
        self.wfile.write(data)

    def _head(self, content_type: str, length: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header(*length)
        self.send_header("Connection", "close")
        self.end_headers()


def _parts(request: OllamaRequest, reply: Answer | Failure, pause: float) -> Iterator[JsonObject]:
    """The parts of a streamed answer, word by word; the last one of a complete answer carries the counts."""
    started = time.perf_counter_ns()
    thinking = reply.thinking if isinstance(reply, Answer) else ""
    words = [("thinking", word) for word in _WORD.findall(thinking)]
    words += [("content", word) for word in _WORD.findall(reply.text)]
    for kind, word in words[: reply.after if isinstance(reply, Failure) else None]:
        time.sleep(pause)
        yield _part(request, {kind: word}) | {"done": False}
    if isinstance(reply, Failure):
        return
    if calls := _calls(reply):
        yield _part(request, calls) | {"done": False}
    counted = len(words) + sum(count_tokens(f"{tool.name} {json.dumps(tool.arguments)}") for tool in reply.tools)
    elapsed = time.perf_counter_ns() - started
    yield _part(request, {}) | {
        "done": True,
        "done_reason": reply.reason,
        "total_duration": elapsed,
        "load_duration": 0,
        "prompt_eval_count": _prompt_tokens(request),
        "prompt_eval_duration": 0,
        "eval_count": counted,
        "eval_duration": elapsed,
    }


def _whole(request: OllamaRequest, answer: Answer, pause: float) -> JsonObject:
    """The answer for a client that does not stream: the last part, with the text of all, after the same time."""
    *_, last = _parts(request, answer, pause)
    thinking = {"thinking": answer.thinking} if answer.thinking else {}
    return last | _part(request, {"content": answer.text} | thinking | _calls(answer))


def _part(request: OllamaRequest, piece: JsonObject) -> JsonObject:
    part: JsonObject = {"model": request.body["model"], "created_at": _now()}
    if request.path == "/api/chat":
        return part | {"message": {"role": "assistant", "content": "", **piece}}
    return part | {"response": piece.get("content", "")} | {k: v for k, v in piece.items() if k == "thinking"}


def _calls(answer: Answer) -> JsonObject:
    return {"tool_calls": [{"function": asdict(tool)} for tool in answer.tools]} if answer.tools else {}


def _prompt_tokens(request: OllamaRequest) -> int:
    texts = [message.get("content") or "" for message in request.messages]
    tools = request.body.get("tools")
    return sum(map(count_tokens, [*texts, json.dumps(tools) if tools else ""]))


def _described(name: str) -> JsonObject:
    details = {"format": "none", "family": "stand-in", "parameter_size": "0B", "quantization_level": "none"}
    return {"name": name, "model": name, "modified_at": _now(), "size": 0, "digest": "0" * 64, "details": details}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _messages(body: JsonObject) -> list[JsonObject]:
    if "messages" in body:
        return list(body["messages"] or [])
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    return [*system, {"role": "user", "content": body.get("prompt") or ""}]
