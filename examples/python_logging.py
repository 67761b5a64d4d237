"""Records of `logging` become events of the run that emitted them.

python examples/python_logging.py
"""

from __future__ import annotations

import logging

from langchain_core.runnables import RunnableLambda
from scripted_model import ScriptedModel

from coagent_langchain import CoagentCallbackHandler, CoagentLogHandler

logger = logging.getLogger("kitchen")
handler = CoagentCallbackHandler()
logger.addHandler(CoagentLogHandler(handler, level=logging.INFO))
logger.setLevel(logging.INFO)


def check(question: str) -> str:
    """Log something about the question."""
    logger.info("checking %d characters", len(question))
    if "raw" in question:
        logger.warning("raw chicken was mentioned")
    return question


chain = RunnableLambda(check) | ScriptedModel(answers=["Never."])

with handler.session("Ask the kitchen", meta={"example": "python_logging"}) as session:
    print("Answer:", chain.invoke("May I eat raw chicken?", {"callbacks": [handler]}).content)

print("See it: coagent-langchain show", session.session_id)
