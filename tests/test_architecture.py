"""Architectural rules: which module may import which."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

READERS = {"analysis.py", "waterfall.py"}
PACKAGE = Path(__file__).parent.parent / "coagent_langchain"


@functools.cache
def imports(path: Path) -> set[str]:
    """Every module that the file imports, at any level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def importers(*prefixes: str) -> set[str]:
    """The files of the package that import one of these modules or a submodule of it."""
    return {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name == p or name.startswith(p + ".") for name in imports(path) for p in prefixes)
    }


def test_langchain_is_imported_by_capture_and_values_alone() -> None:
    """Only `capture` and `values` import LangChain; recipe_agent.py is examples/recipe_agent.py, a user's program."""
    known = importers("langchain_core", "langchain", "langgraph")
    outside = {f for f in known if not f.startswith(("capture/", "values/"))}

    assert outside == {"recipe_agent.py"}


def test_values_know_no_run_and_no_session() -> None:
    """How a value is read depends on the value alone: `values` imports only what is below it."""
    known = {name for path in (PACKAGE / "values").glob("*.py") for name in imports(path)}
    own = {name for name in known if name.startswith("coagent_langchain")}

    assert {name for name in own if not name.startswith("coagent_langchain.values")} == {
        "coagent_langchain.errors",
        "coagent_langchain.exceptions",
        "coagent_langchain.loaded",
        "coagent_langchain.redaction",
        "coagent_langchain.texts",
        "coagent_langchain.wire",
    }


def test_run_tree_knows_no_langchain() -> None:
    """The run tree is plain Python without LangChain types."""
    knowing = importers("langchain_core", "langchain", "langgraph")

    assert {"capture/run.py", "capture/run_tree.py"} & set(knowing) == set()


def test_nobody_knows_the_server_but_the_command_line() -> None:
    """The server is an extra: only the command line and the server itself import it."""
    outside = {f for f in importers("coagent_langchain.server") if not f.startswith(("server/", "cli/"))}

    assert outside == READERS


def test_readers_know_of_the_server_only_what_is_pure() -> None:
    """A session that was read is counted and drawn as in the viewer, by modules that need no extra."""
    modules = (
        "presentation.bars",
        "presentation.formats",
        "presentation.event_summary",
        "presentation.rows",
        "presentation.timeline",
        "store.rollup",
    )
    pure = {f"coagent_langchain.server.{module}" for module in modules}
    known = {
        name for file in READERS for name in imports(PACKAGE / file) if name.startswith("coagent_langchain.server")
    }

    assert known == pure


def test_presentation_knows_neither_http_nor_a_database() -> None:
    """How a session looks depends only on its entries: of the store, only the records are imported."""
    known = {name for path in (PACKAGE / "server" / "presentation").glob("*.py") for name in imports(path)}
    own = {name for name in known if name.startswith("coagent_langchain.server")}

    assert {name for name in own if not name.startswith("coagent_langchain.server.presentation")} == {
        "coagent_langchain.server.store.records"
    }
    assert {name for name in known if name.split(".")[0] in ("starlette", "uvicorn", "sqlite3")} == set()


def test_delivery_is_known_by_its_door_alone() -> None:
    """Only the command line, which works on the spool itself, imports modules of `delivery`."""
    modules = [f"coagent_langchain.delivery.{path.stem}" for path in (PACKAGE / "delivery").glob("[a-z]*.py")]
    outside = {f for f in importers(*modules) if not f.startswith(("delivery/", "cli/"))}

    assert outside == set()


def test_only_what_users_start_with_knows_capture() -> None:
    """Imports point downwards: sessions, client, delivery and server do not import `capture`."""
    outside = {f for f in importers("coagent_langchain.capture") if not f.startswith(("capture/", "cli/"))}

    assert outside == {"__init__.py", "testing/memory.py"}


def test_map_of_the_code_names_every_module() -> None:
    """docs/contributing.md says what each module on the path of an event is for."""
    told = (PACKAGE.parent / "docs" / "contributing.md").read_text(encoding="utf-8")
    paths = [path for part in ("", "capture", "delivery", "sessions") for path in (PACKAGE / part).glob("[a-z]*.py")]

    assert [path.name for path in paths if f"{path.name}`" not in told] == []


def test_tests_are_found_without_the_heavy_engine() -> None:
    """A fresh clone's `make test` has no chdb: tests that need it are skipped, but must be importable."""
    code = "import sys; sys.modules['chdb'] = None; from tests.server import test_clickhouse, test_clickhouse_outage"
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=True)
