"""A LangGraph agent with a tool that needs human approval: interrupt, answer, resume, all in one session.

python examples/langgraph_agent.py
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from scripted_model import ScriptedModel, tool_call

from coagent_langchain import CoagentCallbackHandler


@tool
def balance(account: str) -> float:
    """Look up the balance of an account."""
    return 120.0


@tool
def transfer(amount: float, to: str) -> str:
    """Send money, if a human approves it."""
    decision = interrupt({"question": f"Send {amount} to {to}?"})
    return f"sent {amount} to {to}" if decision == "yes" else "refused"


model = ScriptedModel(answers=[
    tool_call("balance", account="mine"),
    tool_call("transfer", amount=100.0, to="Ada"),
    "Done: Ada has the money.",
])  # fmt: skip
agent = create_agent(model, [balance, transfer], checkpointer=InMemorySaver(), name="banker")
handler = CoagentCallbackHandler()

with handler.session("Pay Ada", meta={"example": "langgraph_agent"}) as session:
    config: RunnableConfig = {"callbacks": [handler], "configurable": {"thread_id": session.session_id}}
    state = agent.invoke({"messages": [HumanMessage("Send Ada 100 if I have it")]}, config)
    print("Asked:", state["__interrupt__"][0].value["question"])
    state = agent.invoke(Command(resume="yes"), config)  # continues the same prompt
    print("Agent:", state["messages"][-1].content)

print("See it: coagent-langchain show", session.session_id)
