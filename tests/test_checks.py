"""What the checks of arguments accept."""

from __future__ import annotations

from typing import Any

import pytest

from coagent_langchain.checks import check_redact, check_sample_rate


def one(entry: dict[str, Any]) -> dict[str, Any]:
    """Redact nothing."""
    return entry


@pytest.mark.parametrize(("given", "found"), [
    (None, []), (one, [one]), ([one, dict], [one, dict]), ((one, dict), [one, dict]),
])  # fmt: skip
def test_redact_may_be_one_several_or_none(given: Any, found: list[Any]) -> None:
    """In a list or a tuple; a builtin may have no signature to check."""
    assert list(check_redact(given)) == found


@pytest.mark.parametrize("rate", [0, 0.0, 0.5, 1])
def test_sample_rate_may_be_nothing_or_everything(rate: float) -> None:
    """Also as a whole number."""
    check_sample_rate(rate)
