"""A parent that forks workers, like job queues and pre-forking servers: a handler created before works in each.

python examples/worker_fork.py
"""

from __future__ import annotations

import os
import uuid

from scripted_model import ScriptedModel

from coagent_langchain import CoagentCallbackHandler

handler = CoagentCallbackHandler()  # created before the fork, used after it
batch = uuid.uuid4().hex[:8]


def work(number: int) -> None:
    """One job, in its own process and session."""
    model = ScriptedModel(answers=[f"Job {number} is done."])
    with handler.session(f"Job {number}", session_id=f"job-{batch}-{number}", meta={"example": "worker_fork"}):
        print(model.invoke(f"Do job {number}", {"callbacks": [handler]}).content, flush=True)


for number in (1, 2):
    if (child := os.fork()) == 0:
        work(number)
        handler.flush(10)  # `os._exit` skips exit handlers; the parent sends anything left behind
        os._exit(0)
    os.waitpid(child, 0)

work(3)
print(f"See it: coagent-langchain show job-{batch}-1    (and -2, -3)")
