"""Without LangChain: sessions and prompts around plain functions, as context manager and decorator.

python examples/plain_functions.py
"""

from __future__ import annotations

import uuid

from coagent_langchain import CoagentClient

client = CoagentClient()
failing = f"plain-{uuid.uuid4().hex[:8]}"


def ask(session_id: str, question: str, prompt_number: int) -> str:
    """A model call of your own, logged by hand."""
    client.log_llm_call(session_id, question, prompt_number, 1, issuer="plain")
    answer = "42"
    client.log_llm_response(session_id, answer, prompt_number, 1, input_tokens=4, output_tokens=1, total_tokens=5)
    return answer


question = "What is six times seven?"
with client.start_session("Ask plainly", meta={"example": "plain_functions"}) as session, session.prompt(question):
    print("Answer:", ask(session.session_id, question, prompt_number=1))


@client.start_session("Run a function", session_id=failing, meta={"example": "plain_functions"})
def fails() -> None:
    """Its exception is logged and re-raised; without `session_id`, each call would be a separate session."""
    raise ValueError("no such number")


try:
    fails()
except ValueError as error:
    print("Raised:", error)

print("See it: coagent-langchain show", session.session_id)
print("See it: coagent-langchain show", failing)
