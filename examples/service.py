"""A web service: one handler for all of it, a session for each conversation, by the id that the client sends.

    python examples/service.py            # asks itself three questions in two conversations, at once
    uvicorn --app-dir examples service:app --port 8000
    curl localhost:8000/chat -d '{"conversation": "ada-1", "question": "How are you?"}'

FastAPI is used in the same way: what counts is `session_id` in the run's metadata.
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
    """End the conversations with the service: uvicorn's workers are ended by a signal, and run no exit handlers."""
    yield
    await asyncio.to_thread(handler.close)


app = Starlette(routes=[Route("/chat", chat, methods=["POST"])], lifespan=lifespan)


async def main() -> None:
    """Ask questions in two conversations, at once."""
    import httpx

    name = uuid.uuid4().hex[:8]
    questions = [("ada", "How are you?"), ("bob", "Who are you?"), ("ada", "And now?")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        await asyncio.gather(*[
            client.post("/chat", json={"conversation": f"{who}-{name}", "question": question})
            for who, question in questions
        ])  # fmt: skip
    handler.close()  # as the service's end does; until then a conversation ends when it has been idle for 30 minutes
    print(f"Look: coagent-langchain show ada-{name}\nLook: coagent-langchain show bob-{name}")


if __name__ == "__main__":
    asyncio.run(main())
