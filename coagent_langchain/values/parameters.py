"""The model, provider and parameters of a model call, from an allow-list: never headers or API keys."""

from __future__ import annotations

from typing import Any, TypeGuard

from coagent_langchain.values.fields import as_dict, members_of
from coagent_langchain.values.snapshot import snapshot

MAX_PARAMETER = 10_000  # characters
MAX_TOOLS = 1_000
MAX_NAME = 1_000  # characters

# Not `stream`: it is the model's default, and stays False for a call that streams.
_ALLOWED = frozenset({
    "temperature", "max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample",
    "max_new_tokens", "num_predict", "top_p", "top_k", "min_p", "typical_p", "n", "best_of", "candidate_count",
    "seed", "random_seed", "stop", "stop_sequences", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "repeat_penalty", "repeat_last_n", "logit_bias", "logprobs", "top_logprobs",
    "parallel_tool_calls", "tool_choice", "service_tier", "reasoning_effort", "reasoning", "thinking", "effort",
    "thinking_budget", "thinking_level", "include_thoughts", "verbosity", "modalities", "response_modalities",
    "response_mime_type", "response_format", "format", "truncation", "store", "use_responses_api", "num_ctx",
    "num_keep", "mirostat", "mirostat_eta", "mirostat_tau", "tfs_z", "keep_alive", "decoding_method", "min_new_tokens",
    "performance_config", "betas",
})  # fmt: skip
_MODEL_KEYS = ("model", "model_name", "model_id", "modelId", "deployment_name", "azure_deployment", "deployment",
               "engine", "repo_id")  # fmt: skip
_MAX_TOKENS_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample",
                    "max_new_tokens", "num_predict")  # fmt: skip
_SCHEMA_KEYS = ("response_format", "format", "response_schema", "text")
_FORMAT_KEY = "ls_structured_output_format"
_TOOL_KEYS = ("tools", "functions", "toolConfig", "tool_config")
_PLAIN = frozenset({int, bool, float})

Dict = dict[Any, Any]


def model_parameters(serialized: Any, invocation_params: Any, metadata: Any, options: Any) -> dict[str, Any]:
    """Read the model of a call and its parameters; the `ls_*` keys of its metadata take precedence.

    Returns:
        `model`, `provider`, `temperature`, `max_tokens`, `parameters`, `tools_offered`, `structured_output` and
        `source` (the part of LangChain that calls the model for its own purpose), each only if known.
    """
    params = invocation_params if isinstance(invocation_params, dict) else {}
    facts = metadata if isinstance(metadata, dict) else {}
    settings = options if isinstance(options, dict) else {}
    given = _given(params, settings.get("stop") or facts.get("ls_stop"))  # the call's own stop, or the model's
    found: dict[str, Any] = {}
    if model := _text(facts.get("ls_model_name")) or _model(params, serialized):
        found["model"] = model
    if provider := _text(facts.get("ls_provider")):
        found["provider"] = provider
    if (temperature := _number(facts.get("ls_temperature"), given, ("temperature",))) is not None:
        found["temperature"] = temperature
    if (most := _number(facts.get("ls_max_tokens"), given, _MAX_TOKENS_KEYS)) is not None:
        found["max_tokens"] = most
    formatted = _FORMAT_KEY in settings or not params.keys().isdisjoint(_SCHEMA_KEYS)
    if formatted and (schema := structured_output(params, settings)):
        found["structured_output"] = schema
        for key in ("response_format", "format"):
            given.pop(key, None)  # its name is enough: the schema itself may be large
    if given:
        found["parameters"] = {
            key: value if type(value) in _PLAIN else snapshot(value, MAX_PARAMETER)
            for key, value in sorted(given.items())
        }
    if not params.keys().isdisjoint(_TOOL_KEYS) and (tools := tools_offered(params)):
        found["tools_offered"] = tools
    if "lc_source" in facts and (source := _text(facts["lc_source"])):
        found["source"] = source
    return found


def _given(params: Dict, stop: Any) -> dict[str, Any]:
    """The parameters of the allow-list that have a value."""
    given = {key: value for key in _ALLOWED.intersection(params) if (value := params[key]) is not None}
    if stop is not None:
        given["stop"] = stop
    if "output_config" in params and (effort := as_dict(params["output_config"]).get("effort")):  # Anthropic
        given["effort"] = effort
    return given


def tools_offered(params: Dict) -> list[str]:
    """Names of the tools that the model may call, in the shapes of OpenAI, Anthropic, Bedrock, Gemini and Ollama."""
    config = as_dict(params.get("toolConfig") or params.get("tool_config"))  # Bedrock Converse
    found: list[str] = []
    for place in (params.get("tools"), params.get("functions"), config.get("tools")):
        if place:
            for tool in place[:MAX_TOOLS] if isinstance(place, (list, tuple)) else [place]:
                found += _tool_names(tool)
    return list(dict.fromkeys(found))


def _tool_names(tool: Any) -> list[str]:
    """A tool's name; several for Gemini, which declares functions in groups."""
    own = tool if type(tool) is dict else members_of(tool)
    for inner in (own.get("function"), own.get("toolSpec"), own.get("custom"), own):  # OpenAI, Bedrock, Anthropic
        if inner is not None:
            named = inner if type(inner) is dict else members_of(inner)
            if name := _text(named.get("name")) or _text(named.get("title")):
                return [name]
    declared = own.get("function_declarations") or own.get("functionDeclarations")
    if isinstance(declared, (list, tuple)):
        return [name for declaration in declared[:MAX_TOOLS] for name in _tool_names(declaration)]
    if own is not tool:
        function = _text(getattr(tool, "__name__", None))
        return [function] if function else []
    kind = _text(own.get("type"))  # built in at the provider: {"type": "web_search"}, {"google_search": {}}
    return [kind] if kind and kind != "function" else [key for key in own if isinstance(key, str)][:1]


def structured_output(params: Dict, options: Dict) -> str | None:
    """Name of the schema that the answer must follow, or None."""
    if own := as_dict(options.get(_FORMAT_KEY)):
        return _schema_name(own.get("schema")) or "schema"
    for key in _SCHEMA_KEYS:
        if (schema := params.get(key)) is not None:
            name = _schema_name(as_dict(schema).get("format") if key == "text" else schema)
            if name:
                return name
    return None


def _schema_name(schema: Any) -> str | None:
    if isinstance(schema, type):
        return schema.__name__
    known = as_dict(schema)
    for inner in (known.get("json_schema"), known.get("function"), known, known.get("schema")):
        if isinstance(inner, dict) and (name := _text(inner.get("name")) or _text(inner.get("title"))):
            return name
    return None


def _model(params: Dict, serialized: Any) -> str | None:
    for key in _MODEL_KEYS:
        if key in params and (name := _text(params[key])):
            return name
    own = as_dict(as_dict(serialized).get("kwargs"))
    return _model(own, None) if own else None


def _number(fact: Any, given: Dict, keys: tuple[str, ...]) -> int | float | None:
    """The first number: the fact, or one of the parameters."""
    if fact is not None and _is_number(fact):
        return fact
    for key in () if given.keys().isdisjoint(keys) else keys:
        if key in given and _is_number(value := given[key]):
            return value
    return None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return type(value) is int or (type(value) is float and value == value)


def _text(value: Any) -> str | None:
    return value[:MAX_NAME] if isinstance(value, str) and value else None
