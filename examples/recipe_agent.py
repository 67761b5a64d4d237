"""A recipe agent: the example of CoAgent's event logging reference, with LangChain callbacks.

One session. Prompt 1 asks for three recipes (turn 1) and adds their nutrition with a tool (turn 2); prompt 2 turns the
recipes vegetarian. Nothing here logs by hand: `handler` does it all.

    ollama pull llama3.2                 # the model
    coagent-langchain serve              # in another terminal: the log viewer, http://localhost:3000
    python examples/recipe_agent.py

`coagent-langchain demo` runs this file, with a server and, if there is no Ollama, a stand-in for it.
"""

from __future__ import annotations

import sys
from typing import Any

from httpx import ConnectError
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from ollama import ResponseError
from pydantic import BaseModel, Field

from coagent_langchain import CoagentCallbackHandler

MODEL = "llama3.2"
CHEF = "You are a professional chef assistant."
CALORIES = {"chicken": 165, "carrots": 41, "onions": 40, "rice": 130, "butter": 717, "tofu": 76}  # per 100 g


class Recipe(BaseModel):
    """One dish."""

    name: str
    ingredients: dict[str, int] = Field(description="grams of each ingredient")
    steps: list[str]


class Recipes(BaseModel):
    """The structured output of the model."""

    recipes: list[Recipe]


@tool
def calories(ingredients: list[str]) -> dict[str, int | None]:
    """Look up the calories of ingredients, in kcal per 100 g; null if unknown."""
    return {name: CALORIES.get(name.lower()) for name in ingredients}


calories.handle_validation_error = True  # a small model may call it with other arguments: the answer says so


def look_up(answer: AIMessage) -> ToolMessage:
    """Run the tool that the model calls; if a small model forgot to call it, for all known ingredients."""
    forgotten = {"name": "calories", "args": {"ingredients": list(CALORIES)}, "id": "forgotten"}
    call = answer.tool_calls[0] if answer.tool_calls else forgotten
    found: ToolMessage = calories.invoke({**call, "type": "tool_call"})
    return found


def run(model: ChatOllama, handler: CoagentCallbackHandler, meta: dict[str, Any] | None = None) -> str:
    """Create recipes, add nutrition, make them vegetarian; return the session's id."""
    config: RunnableConfig = {"callbacks": [handler]}  # all that LangChain needs
    instructions = ChatPromptTemplate([("system", CHEF), ("user", "{task}")])
    chef: Runnable[dict[str, str], Any] = instructions | model.with_structured_output(Recipes)
    chef = chef.with_config(run_name="recipe_agent")
    nutritionist = (model.bind_tools([calories]) | RunnableLambda(look_up)).with_config(run_name="recipe_agent")

    with handler.session(
        "Generate three recipes using chicken and vegetables",
        meta={"agent": "recipe_generator", "version": "2.0", **(meta or {})},
    ) as session:
        task = "Create three recipes using: chicken, carrots, onions"
        with session.prompt(task):
            print(f"\nPrompt 1: {task}")
            cooked = chef.invoke({"task": task}, config)
            print(_listed(cooked))

            wanted = sorted({name for recipe in cooked.recipes for name in recipe.ingredients})
            found = nutritionist.invoke(f"Look up the calories of: {', '.join(wanted)}", config)
            print(f"  calories per 100 g: {found.content}")

        task = "Convert these recipes to vegetarian versions"
        with session.prompt(task):
            print(f"\nPrompt 2: {task}")
            vegetarian = chef.invoke({"task": f"{task}: {cooked.model_dump_json()}"}, config)
            print(_listed(vegetarian))

    return session.session_id


def _listed(recipes: Recipes) -> str:
    return "\n".join(f"  - {recipe.name}: {', '.join(recipe.ingredients)}" for recipe in recipes.recipes)


if __name__ == "__main__":
    try:
        print(f"\nLogged as session {run(ChatOllama(model=MODEL), CoagentCallbackHandler())}")
    except (ConnectError, ResponseError) as error:  # no Ollama; no such model
        sys.exit(f"Needs an Ollama with {MODEL}: {error}. 'coagent-langchain demo' has a stand-in for it.")
