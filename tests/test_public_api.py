"""What users import, and what an import loads."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types

import coagent_langchain
from coagent_langchain import testing


def public(module: types.ModuleType) -> set[str]:
    """The names of a module that are neither private nor modules."""
    return {n for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}


def test_public_names_are_sorted_and_complete() -> None:
    """`__all__` lists what the package offers, in order."""
    names = coagent_langchain.__all__

    assert names == sorted(names) == sorted(coagent_langchain._HOMES)
    assert [name for name in names if not hasattr(coagent_langchain, name)] == []
    assert set(names) <= set(dir(coagent_langchain))


def test_names_of_testing_are_sorted_and_complete() -> None:
    """These are the fakes that users' own tests import."""
    assert testing.__all__ == sorted(testing.__all__)
    assert public(testing) - {"annotations"} == set(testing.__all__)


def test_handlers_arguments_can_be_inspected() -> None:
    """Editors and tools see the arguments in the signature."""
    assert list(inspect.signature(coagent_langchain.CoagentCallbackHandler).parameters) == [
        "session_id", "base_url", "auth_token", "spool_dir", "capture_content", "redact", "components", "sample_rate",
        "resume", "delivery",
    ]  # fmt: skip


def test_public_names_are_documented() -> None:
    """Each has a docstring, and so have its public methods."""
    bare = []
    for name in coagent_langchain.__all__:
        value = getattr(coagent_langchain, name)
        methods = [(n, m) for n, m in vars(value).items() if callable(m) and not n.startswith("_")]
        bare += [f"{name}.{n}" for n, m in [("", value), *methods] if not m.__doc__]

    assert bare == []


def test_import_leaves_the_network_and_the_server_alone() -> None:
    """Slow imports and extras are loaded only when they are needed."""
    late = [
        "coagent_langchain.events",
        "coagent_langchain.client",
        "requests",
        "urllib3",
        "starlette",
        "uvicorn",
        "jinja2",
        "pandas",
        "coagent_langchain.server",
    ]
    code = (
        f"import sys, coagent_langchain as c; c.CoagentCallbackHandler; print(sorted(set({late}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_import_on_windows_says_what_is_needed() -> None:
    """The error comes at once, not from the first missing part of the standard library."""
    code = "import os; os.name = 'nt'; import coagent_langchain"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.stderr.splitlines()[-1] == (
        "ImportError: coagent-langchain needs Linux or macOS; on Windows, use it in WSL"
    )
