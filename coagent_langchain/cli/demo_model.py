"""The demo's model: a real Ollama if one responds, else a stand-in with fixed recipes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from coagent_langchain.testing import OllamaRequest, OllamaStandIn, ToolUse
from coagent_langchain.testing.replies import Reply

DEFAULT_HOST = "http://localhost:11434"
PACE = 150  # words per second, about as fast as a small model on a laptop


@dataclass(frozen=True, slots=True)
class ModelServer:
    """The server of the demo's model.

    Attributes:
        name: a description, for people and for the session's meta.
        remark: why it is not a real Ollama; "" if it is.
    """

    url: str
    name: str
    remark: str = ""


@contextmanager
def model_server(model: str) -> Iterator[ModelServer]:
    """A server that has `model`: the Ollama at `OLLAMA_HOST`, else a stand-in in this process."""
    url = _address(os.environ.get("OLLAMA_HOST") or DEFAULT_HOST)
    remark = _why_not(url, model)
    if not remark:
        yield ModelServer(url, f"Ollama at {url}")
        return
    with OllamaStandIn(answer, models=[model], tokens_per_second=PACE) as stand_in:
        yield ModelServer(stand_in.url, "stand-in for Ollama, no model behind it", remark)


def _address(host: str) -> str:
    """`OLLAMA_HOST` as Ollama reads it: scheme and port may be missing, and 0.0.0.0 means this machine."""
    scheme, _, rest = host.rpartition("://")
    rest = rest.rstrip("/").replace("0.0.0.0", "127.0.0.1")
    return f"{scheme or 'http'}://{rest if ':' in rest or scheme == 'https' else rest + ':11434'}"


def _why_not(url: str, model: str) -> str:
    """Why the Ollama at `url` cannot be used; "" if it can."""
    try:
        answer = requests.get(f"{url}/api/tags", timeout=2)
        names = [each["name"] for each in answer.json()["models"]]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return f"no Ollama found at {url}"
    if any(name.partition(":")[0] == model or name == model for name in names):
        return ""
    return f"the Ollama at {url} has no {model}; get it with: ollama pull {model}"


def answer(request: OllamaRequest) -> Reply:
    """The stand-in's reply to each of the recipe agent's three calls."""
    if request.tools:
        wanted = request.prompt.partition(":")[2]
        return ToolUse(request.tools[0], {"ingredients": [name.strip() for name in wanted.split(",")]})
    return {"recipes": VEGETARIAN if "vegetarian" in request.prompt else RECIPES}


RECIPES = [
    {
        "name": "Roast chicken with carrots",
        "ingredients": {"chicken": 600, "carrots": 400, "onions": 150},
        "steps": ["Heat the oven to 200 °C.", "Toss everything in oil and salt.", "Roast for 50 minutes."],
    },
    {
        "name": "Chicken soup",
        "ingredients": {"chicken": 400, "carrots": 250, "onions": 100},
        "steps": ["Cover the chicken with cold water.", "Simmer for one hour.", "Add the vegetables for 20 minutes."],
    },
    {
        "name": "Onion chicken on rice",
        "ingredients": {"chicken": 500, "onions": 300, "carrots": 100, "rice": 200},
        "steps": ["Brown the onions slowly.", "Add chicken and carrots.", "Braise, and serve on the rice."],
    },
]
VEGETARIAN = [
    {
        "name": "Roast tofu with carrots",
        "ingredients": {"tofu": 500, "carrots": 400, "onions": 150},
        "steps": ["Heat the oven to 200 °C.", "Toss everything in oil and salt.", "Roast for 30 minutes."],
    },
    {
        "name": "Carrot soup",
        "ingredients": {"carrots": 500, "onions": 100, "butter": 20},
        "steps": ["Soften the onions in butter.", "Add carrots and water.", "Simmer for 25 minutes, then blend."],
    },
    {
        "name": "Onion tofu on rice",
        "ingredients": {"tofu": 400, "onions": 300, "carrots": 100, "rice": 200},
        "steps": ["Brown the onions slowly.", "Add tofu and carrots.", "Braise, and serve on the rice."],
    },
]
