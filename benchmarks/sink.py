"""A local HTTP sink: answers every request at once in the form that each SDK expects, and counts which runs arrived.

Every run of a workload has a mark such as `@000123@` in its prompt. Bodies are written to a temporary file as they
arrive; only `GET /count` unpacks and searches them, so that counting costs nothing during a measurement.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Self
from urllib.request import urlopen

MARK = re.compile(rb"@\d{6}@")
LANGSMITH_INFO = {
    "version": "0.12.0",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
}
ANSWERS = {  # path → body
    b"/info": json.dumps(LANGSMITH_INFO).encode(),
    b"/api/v1/logs": b'{"success": true, "message": "All log entries stored successfully"}',
    b"/batch/": b'{"status": 1}',
}


class Bodies:
    """What was posted, kept on disk."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the sink
        self._parts: list[tuple[bytes, int]] = []

    def add(self, encoding: bytes, body: bytes) -> None:
        self._file.write(body)
        self._parts.append((encoding, len(body)))

    def count(self) -> dict[str, int]:
        """The number of requests, of bytes as sent, and of different runs in them."""
        self._file.seek(0)
        marks: set[bytes] = set()
        for encoding, size in self._parts:
            marks.update(MARK.findall(unpack(encoding, self._file.read(size))))
        return {"requests": len(self._parts), "bytes": sum(size for _, size in self._parts), "runs": len(marks)}


def unpack(encoding: bytes, body: bytes) -> bytes:
    """Undo a content encoding."""
    if encoding == b"gzip":
        return gzip.decompress(body)
    if encoding == b"deflate":
        return zlib.decompress(body)
    if encoding == b"zstd":
        import zstandard  # comes with langsmith

        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


class Sink(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and pipelining; bodies by length or in chunks."""

    def __init__(self, bodies: Bodies) -> None:
        self.bodies = bodies
        self.waiting = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while self.take_request():
            pass

    def take_request(self) -> bool:
        end = self.waiting.find(b"\r\n\r\n", 0, 65536)
        if end < 0:
            return False
        head, start = bytes(self.waiting[:end]), end + 4
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(b":") for line in head.split(b"\r\n")[1:])}  # fmt: skip
        if headers.get(b"transfer-encoding") == b"chunked":
            if not self.waiting.endswith(b"0\r\n\r\n"):
                return False
            body, end = unchunk(self.waiting, start)
        else:
            end = start + int(headers.get(b"content-length", 0))
            if len(self.waiting) < end:
                return False
            body = bytes(self.waiting[start:end])
        del self.waiting[:end]
        method, path, _ = head.split(b" ", 2)
        self.answer(method, path.partition(b"?")[0], headers, body)
        return True

    def answer(self, method: bytes, path: bytes, headers: dict[bytes, bytes], body: bytes) -> None:
        content_type = b"application/json"
        if path == b"/count":
            reply = json.dumps(self.bodies.count()).encode()
        elif path == b"/clear":
            self.bodies.clear()
            reply = b"{}"
        else:
            if method == b"POST":
                self.bodies.add(headers.get(b"content-encoding", b""), body)
            reply = ANSWERS.get(path, b"{}")
            if headers.get(b"content-type") == b"application/x-protobuf":
                content_type, reply = b"application/x-protobuf", b""  # an empty ExportTraceServiceResponse
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                             % (content_type, len(reply), reply))  # fmt: skip


def unchunk(waiting: bytearray, start: int) -> tuple[bytes, int]:
    """Join a chunked body that begins at `start`; return it and the offset at which it ends."""
    parts = []
    while True:
        line = waiting.index(b"\r\n", start)
        size, start = int(waiting[start:line], 16), line + 2
        parts.append(bytes(waiting[start : start + size]))
        start += size + 2
        if not size:
            return b"".join(parts), start


class SinkProcess:
    """The sink in a process of its own; it has a `url` once entered.

    Parameters:
        interpreter: the Python to run it with.
    """

    def __init__(self, interpreter: str = sys.executable) -> None:
        self._interpreter = interpreter

    def __enter__(self) -> Self:
        command = [self._interpreter, "-m", "benchmarks.sink"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def count(self) -> dict[str, int]:
        answer: dict[str, int] = json.load(urlopen(f"{self.url}/count"))
        return answer


def clear(url: str) -> None:
    """Make the sink at `url` forget everything it has received."""
    urlopen(f"{url}/clear").read()


async def main() -> None:
    """Listen on a free port of the loopback interface, print the address, serve until terminated."""
    bodies = Bodies()
    server = await asyncio.get_running_loop().create_server(lambda: Sink(bodies), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
