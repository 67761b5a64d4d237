"""A parent that forks workers, as job queues and pre-forking servers do: the handler made before works in each.

python examples/worker_fork.py
"""

from __future__ import annotations

import os
import uuid

from scripted_model import ScriptedModel

from coagent_langchain import CoagentCallbackHandler

handler = CoagentCallbackHandler()  # made before the fork, used after it
batch = uuid.uuid4().hex[:8]


def work(number: int) -> None:
    """One job, in a process and session of its own."""
    model = ScriptedModel(answers=[f"Job {number} is done."])
    with handler.session(f"Job {number}", session_id=f"job-{batch}-{number}", meta={"example": "worker_fork"}):
        print(model.invoke(f"Do job {number}", {"callbacks": [handler]}).content, flush=True)


for number in (1, 2):
    if (child := os.fork()) == 0:
        work(number)
        handler.flush(10)  # a forked child ends without Python's exit: what it leaves behind, the parent sends
        os._exit(0)
    os.waitpid(child, 0)

work(3)
print(f"Look: coagent-langchain show job-{batch}-1    (and -2, -3)")
