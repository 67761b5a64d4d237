"""A web service: one handler for everything, a session for each conversation, with the id that the client sends.

    python examples/service.py            # sends itself three questions in two concurrent conversations
    uvicorn --app-dir examples service:app --port 8000
    curl localhost:8000/chat -d '{"conversation": "ada-1", "question": "How are you?"}'

FastAPI works the same way: what matters is `session_id` in the run's metadata.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scripted_model import ScriptedModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from coagent_langchain import CoagentCallbackHandler

model = ScriptedModel(answers=["Fine, thank you."])
handler = CoagentCallbackHandler()  # one, for all requests


async def chat(request: Request) -> JSONResponse:
    """Answer one question of a conversation; each is a prompt of the conversation's session."""
    asked = await request.json()
    answer = await model.ainvoke(
        asked["question"], {"callbacks": [handler], "metadata": {"session_id": asked["conversation"]}}
    )
    return JSONResponse({"answer": answer.content})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """End the sessions with the service: a SIGTERM terminates uvicorn before exit handlers run."""
    yield
    await asyncio.to_thread(handler.close)


app = Starlette(routes=[Route("/chat", chat, methods=["POST"])], lifespan=lifespan)


async def main() -> None:
    """Ask questions in two concurrent conversations."""
    import httpx

    name = uuid.uuid4().hex[:8]
    questions = [("ada", "How are you?"), ("bob", "Who are you?"), ("ada", "And now?")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        await asyncio.gather(*[
            client.post("/chat", json={"conversation": f"{who}-{name}", "question": question})
            for who, question in questions
        ])  # fmt: skip
    handler.close()  # as at the service's end; until then, a session ends after 30 minutes without activity
    print(f"See it: coagent-langchain show ada-{name}\nSee it: coagent-langchain show bob-{name}")


if __name__ == "__main__":
    asyncio.run(main())
