"""The outcomes of calls, in words, that several modules tell apart; those of ended sessions are in `rollup.py`."""

from __future__ import annotations

STOPPED = ("cancelled", "abandoned", "interrupted", "unanswered", "unknown")  # neither success nor failure
NOT_RUN = "not run"  # a call that got an error without its tool running, so the tool did not fail
BY_NODE = "answered by node"  # the same, with a result
BY_APPLICATION = "answered by application"  # a call that the program's own loop of model and tools answered
FROM_CACHE = "from cache"  # an answer for which no model was called
CUT_OFF = "cut off"  # an answer that a limit of tokens or the provider ended before the model did
IN_PLACE = (NOT_RUN, BY_NODE, BY_APPLICATION, FROM_CACHE)  # the tool or model itself is not known to have run

# the finish reasons that mean `CUT_OFF`
EARLY_ENDS = frozenset({
    "length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded",  # limits
    "content_filter", "content_filtered", "guardrail_intervened", "refusal",  # OpenAI, Bedrock, Anthropic
    "safety", "recitation", "blocklist", "prohibited_content", "spii",  # Gemini
    "insufficient_system_resource",  # DeepSeek
})  # fmt: skip
