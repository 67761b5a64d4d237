"""A streamed answer, once read to its end and once abandoned; the time to the first token is in the event's meta.

python examples/streaming.py
"""

from __future__ import annotations

from scripted_model import ScriptedModel

from coagent_langchain import CoagentCallbackHandler

story = "Once upon a time there was a log that nobody read."
model = ScriptedModel(answers=[story])
handler = CoagentCallbackHandler()

with handler.session("Tell stories", meta={"example": "streaming"}) as session:
    with session.prompt("Tell me a story"):
        for piece in model.stream("Tell me a story", {"callbacks": [handler]}):
            print(piece.content, end="", flush=True)

    with session.prompt("Tell me another one"):
        for number, piece in enumerate(model.stream("Tell me another one", {"callbacks": [handler]})):
            print(piece.content, end="", flush=True)
            if number == 3:
                break  # logged as abandoned, with the partial answer

print("\nSee it: coagent-langchain show", session.session_id)
