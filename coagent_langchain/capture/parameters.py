"""What a model was called with: model, provider and parameters, by an allow-list. Never a header, never a key."""

from __future__ import annotations

from typing import Any

from coagent_langchain.capture.snapshot import snapshot

MAX_PARAMETER = 10_000  # characters
MAX_TOOLS = 1_000

_ALLOWED = (
    "temperature", "max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "max_new_tokens",
    "num_predict", "top_p", "top_k", "min_p", "typical_p", "n", "best_of", "candidate_count", "seed", "stop",
    "stop_sequences",
    "presence_penalty", "frequency_penalty", "repetition_penalty", "repeat_penalty", "repeat_last_n", "logit_bias",
    "logprobs", "top_logprobs", "stream", "streaming", "parallel_tool_calls", "tool_choice", "service_tier",
    "reasoning_effort", "reasoning", "thinking", "effort", "thinking_budget", "include_thoughts", "verbosity",
    "modalities", "response_modalities", "response_mime_type", "response_format", "format", "truncation", "store",
    "use_responses_api", "num_ctx", "num_keep", "mirostat", "mirostat_eta", "mirostat_tau", "tfs_z", "keep_alive",
    "decoding_method",
    "min_new_tokens", "random_seed", "guardrail_config", "performance_config", "context_management", "betas",
)  # fmt: skip
_MODEL_KEYS = ("model", "model_name", "model_id", "modelId", "deployment_name", "azure_deployment", "deployment",
               "engine", "repo_id")  # fmt: skip
_MAX_TOKENS_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample",
                    "max_new_tokens", "num_predict")  # fmt: skip


def model_parameters(serialized: Any, invocation_params: Any, metadata: Any, options: Any = None) -> dict[str, Any]:
    """Name the model and what it is called with.

    Parameters:
        serialized: as given to the start hooks; may be None.
        invocation_params: the model's parameters, with tools; may be None.
        metadata: the run's metadata; `ls_*` keys are believed first.
        options: the call's options (`stop`, `ls_structured_output_format`); may be None.

    Returns:
        `model`, `provider`, `temperature`, `max_tokens`, `parameters`, `tools_offered` and `structured_output`, each
        only if known.
    """
    params, facts, options = _dict(invocation_params), _dict(metadata), _dict(options)
    given = {key: params[key] for key in _ALLOWED if params.get(key) is not None}
    if options.get("stop") is not None:
        given["stop"] = options["stop"]
    found: dict[str, Any] = {
        "model": _text(facts.get("ls_model_name")) or _model(params, _dict(serialized)),
        "provider": _text(facts.get("ls_provider")) or _provider(params, _dict(serialized)),
        "temperature": _number(facts.get("ls_temperature"), given.get("temperature")),
        "max_tokens": _number(facts.get("ls_max_tokens"), *(given.get(key) for key in _MAX_TOKENS_KEYS)),
        "structured_output": structured_output(params, facts, options),
    }
    if "response_format" in given and found["structured_output"]:
        del given["response_format"]  # its name is told; the schema may be large
    found = {key: value for key, value in found.items() if value is not None}
    found["parameters"] = _plain(given)
    found["tools_offered"] = tools_offered(params)
    return {key: value for key, value in found.items() if value or value == 0}


def tools_offered(params: dict[str, Any]) -> list[str]:
    """Names of the tools that the model may call, in the shapes of all providers."""
    config = params.get("toolConfig") or params.get("tool_config")  # Bedrock Converse
    places = [params.get("tools"), params.get("functions"), _dict(config).get("tools")]
    found: list[str] = []
    for place in places:
        for tool in place if isinstance(place, (list, tuple)) else [place] if isinstance(place, dict) else []:
            found += _tool_names(tool)
    return list(dict.fromkeys(found))[:MAX_TOOLS]


def _tool_names(tool: Any) -> list[str]:
    if not isinstance(tool, dict):
        own = _text(getattr(tool, "name", None)) or _text(getattr(tool, "__name__", None))
        declarations = getattr(tool, "function_declarations", None)
        nested = [n for d in declarations for n in _tool_names(d)] if isinstance(declarations, (list, tuple)) else []
        return [own] if own else nested
    declarations = tool.get("function_declarations") or tool.get("functionDeclarations")  # Gemini
    if isinstance(declarations, (list, tuple)):
        return [name for declaration in declarations for name in _tool_names(declaration)]
    for inner in (tool.get("function"), tool.get("toolSpec"), tool.get("custom"), tool):  # OpenAI, Bedrock, Anthropic
        name = _text(_dict(inner).get("name")) or _text(_dict(inner).get("title"))
        if name:
            return [name]
    kind = _text(tool.get("type"))  # built-in tools: {"type": "web_search"}
    return [kind] if kind and kind != "function" else [key for key in tool if isinstance(key, str)][:1]


def structured_output(params: dict[str, Any], facts: dict[str, Any], options: dict[str, Any]) -> str | None:
    """Name of the schema that the answer must follow, or None."""
    own = _dict(options.get("ls_structured_output_format")) or _dict(facts.get("ls_structured_output_format"))
    schemas = [own.get("schema"), params.get("response_format"), params.get("format"), params.get("response_schema"),
               _dict(params.get("text")).get("format")]  # fmt: skip
    for schema in schemas:
        if name := _schema_name(schema):
            return name
    return "schema" if own else None


def _schema_name(schema: Any) -> str | None:
    if isinstance(schema, type):
        return schema.__name__
    known = _dict(schema)
    for inner in (_dict(known.get("json_schema")), _dict(known.get("function")), known, _dict(known.get("schema"))):
        if name := _text(inner.get("name")) or _text(inner.get("title")):
            return name
    kind = _text(known.get("type"))
    return kind if kind in ("json_object", "json_schema") else None


def _model(params: dict[str, Any], serialized: dict[str, Any]) -> str | None:
    kwargs = _dict(serialized.get("kwargs"))
    names = (_text(place.get(key)) for place in (params, kwargs) for key in _MODEL_KEYS)
    return next(filter(None, names), None)


def _provider(params: dict[str, Any], serialized: dict[str, Any]) -> str | None:
    """`azure-chat` → azure; else the integration package: `langchain_openai` → openai."""
    kind = _text(params.get("_type"))
    if kind:
        return kind.removesuffix("-chat").removesuffix("-llm").removeprefix("chat-")
    path = serialized.get("id")
    package = path[0] if isinstance(path, (list, tuple)) and path else None
    if not isinstance(package, str) or not package.startswith("langchain_"):
        return None
    return None if package in ("langchain_core", "langchain_community") else package.removeprefix("langchain_")


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    return {key: snapshot(value, MAX_PARAMETER) for key, value in given.items()}


def _number(*values: Any) -> int | float | None:
    for value in values:
        if type(value) in (int, float) and value == value:
            return value  # type: ignore[no-any-return]
    return None


def _text(value: Any) -> str | None:
    return value[:1000] if isinstance(value, str) and value else None


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
