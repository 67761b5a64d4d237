"""The documents are correct: every snippet runs, every command parses, every link has a target."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import inspect
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.prompts import ChatPromptTemplate
from langchain_ollama import ChatOllama

from coagent_langchain import CoagentCallbackHandler, CoagentClient
from coagent_langchain.cli import parser
from coagent_langchain.config import VARIABLES
from coagent_langchain.events import LogEntry
from coagent_langchain.log_methods import LogMethods
from coagent_langchain.outlet import _KEPT_INSIDE
from coagent_langchain.server import launch
from coagent_langchain.testing import OllamaStandIn
from coagent_langchain.wire import ENVELOPE, EventType

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    """The document's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that snippets assume, and a server with a session at COAGENT_BASE_URL."""
    with launch() as server, OllamaStandIn(lambda request: f"About: {request.prompt}") as ollama:
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        with CoagentClient(server.base_url) as client:
            client.log_session_start("first", "Hello")
        model = ChatOllama(model="llama3.2", base_url=ollama.url)
        chain = ChatPromptTemplate([("user", "{question}")]) | model
        addresses = {"OLD": server.base_url, "NEW": server.base_url}
        yield {"agent": create_agent(model, []), "chain": chain, "model": model, **addresses}


@pytest.mark.parametrize("path", [d for d in DOCUMENTS if blocks(d, "python")], ids=lambda d: d.stem)
def test_snippets_run(path: Path, names: dict[str, Any]) -> None:
    """The snippets of a document run one after the other, with shared names."""
    for number, block in enumerate(blocks(path, "python"), 1):
        exec(compile(block, f"{path.name}, snippet {number}", "exec"), names)
    if path.stem == "sessions-and-turns":
        assert asyncio.run(names["answer"]("How?")).content == "About: How?"


def test_copy_to_another_server_is_complete_and_can_be_repeated(names: dict[str, Any]) -> None:
    """The new server has every entry as the old one has it, once."""
    (block,) = blocks(ROOT / "docs" / "clickhouse.md", "python")
    with launch() as new, CoagentClient(names["OLD"]) as old, CoagentClient(new.base_url) as copy:
        old.log_info("second", "Hello again")
        for _ in range(2):
            exec(compile(block, "clickhouse.md", "exec"), names | {"NEW": new.base_url})

        there, here = ([e.raw for name in client.get_runs() for e in client.get_logs(name)] for client in (old, copy))
        assert (here, [entry["session_id"] for entry in here]) == (there, ["first", "second"])


def test_numbers_of_the_sessions_document(names: dict[str, Any]) -> None:
    """The numbers in the document's comments are those of the events."""
    document = ROOT / "docs" / "sessions-and-turns.md"
    for block in blocks(document, "python"):
        exec(compile(block, document.name, "exec"), names)
    names["later"].flush(10)

    assert calls_of("trip-1") == [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1)]
    assert calls_of("twice") == [(1, 1), (1, 2), (2, 1), (2, 2)]


def calls_of(session_id: str) -> list[tuple[int, int]]:
    """Prompt and turn of each model call of a session."""
    with CoagentClient() as client:
        events = client.get_logs(session_id)
    return sorted((e.prompt_number, e.turn_number) for e in events if e.event_type == "llm_call")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_commands_are_right(path: Path) -> None:
    """Commands and options exist, and so do the targets of `make` and the extras of `pip`."""
    lines = [re.split(" [#>]", line)[0].strip() for block in blocks(path, "console") for line in block.splitlines()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for line in lines:
        words = [word for word in shlex.split(line) if not re.match("[A-Z_]+=", word)]
        if words[:1] == ["coagent-langchain"]:
            assert isinstance(parser().parse_args(words[1:]), argparse.Namespace)
        elif words[:1] == ["make"]:
            assert f"\n{words[1]}:" in makefile
        elif words[:2] == ["pip", "install"]:
            assert {extra for group in re.findall(r"\[([\w,]+)\]", line) for extra in group.split(",")} <= set(extras)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_programs_are_there(path: Path) -> None:
    """The modules and files that a document runs with Python, in a sentence too."""
    text = path.read_text(encoding="utf-8")
    modules, files = re.findall(r"python -m ([\w.]+)", text), re.findall(r"python ([\w/]+\.py)", text)

    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    assert [name for name in files if not (ROOT / name).is_file()] == []


def anchors(path: Path) -> set[str]:
    """The anchors of the document's headings, as GitHub generates them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link is a file of the repository, and its anchor is a heading of that file."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8"))
    files = [(path.parent / target if target else path, anchor) for target, anchor in links]

    assert [link for link, (file, anchor) in zip(links, files, strict=True)
            if not file.exists() or (anchor and anchor not in anchors(file))] == []  # fmt: skip


def test_figures_of_the_readme_are_those_that_were_measured() -> None:
    """The README's figures for the cost are those of docs/performance.md."""
    table = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("## Wall time")[2]
    measured = dict(re.findall(r"^\| \**(ours|best peer / ours)\** \|(.*)\|$", table, re.MULTILINE)[:2])
    ours, ratio = ([float(n) for n in re.findall(r"[\d.]+(?=\** \()", measured[row])] for row in measured)
    said = re.findall(r"\d+(?:\.\d+)?(?= µs| and \d| times)", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert said == [f"{ours[0]:.1f}", f"{ours[1]:.1f}", f"{ratio[0]:.1f}", f"{ratio[1]:.1f}"]


def test_readme_says_which_versions_are_needed() -> None:
    """Its last line has those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = project["requires-python"].removeprefix(">=")
    core = next(d for d in project["dependencies"] if d.startswith("langchain-core"))
    oldest = re.fullmatch(r"langchain-core>=(.+),<2", core)

    assert oldest is not None
    said = f"Needs Python {python} or newer, langchain-core {oldest[1]} or newer (1.x), and Linux or macOS."
    assert said in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[-1]


def test_every_argument_of_the_handler_is_documented() -> None:
    """docs/getting-started.md lists them in order, with default and variable."""
    text = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| `(.+?)` \| `?(\w*)`? *\|", text.partition("## Settings")[2], re.MULTILINE)
    signature = inspect.signature(CoagentCallbackHandler.__init__).parameters.values()

    assert table == [(p.name, repr(p.default), VARIABLES.get(p.name, "")) for p in list(signature)[1:]]


def test_client_is_documented_whole() -> None:
    """This is every argument of its constructor, and every method except `close`, which `with` calls."""
    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    methods = [name for name in dir(CoagentClient) if not name.startswith("_") and name not in ("base_url", "close")]

    assert [name for name in inspect.signature(CoagentClient).parameters if f"{name}=" not in text] == []
    assert [name for name in methods if not re.search(rf"\b{name}\b[(`]", text)] == []


def test_methods_that_log_are_documented_with_their_arguments_in_order() -> None:
    """The table has each signature; `max_retries`, which all accept, is mentioned once."""
    rows = re.findall(r"^\| (`log_.*?) \| (.*?) \|(.*)\|$", (ROOT / "docs/client.md").read_text("utf-8"), re.MULTILINE)
    told = {method: [re.findall("`(.+?)`", part) for part in arguments]
            for methods, *arguments in rows for method in re.findall("`(.+?)`", methods)}  # fmt: skip

    assert told == {name: arguments_of(method) for name, method in vars(LogMethods).items() if name.startswith("log_")}


def arguments_of(method: Callable[..., object]) -> list[list[str]]:
    """The method's positional and its keyword-only arguments."""
    taken = [p for p in inspect.signature(method).parameters.values() if p.name not in ("self", "max_retries")]
    told = {p: p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in taken}
    return [[text for p, text in told.items() if (p.kind is p.KEYWORD_ONLY) is by_name] for by_name in (False, True)]


def test_every_hook_is_documented() -> None:
    """docs/hooks.md says what happens in each hook that LangChain calls."""
    hooks = {name for name in dir(CoagentCallbackHandler) if name.startswith("on_")} - {"on_interrupt", "on_resume"}
    text = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")

    assert sorted(name for name in hooks if f"`{name}`" not in text) == []


def events_document() -> Any:
    """The program that writes docs/events.md."""
    spec = importlib.util.spec_from_file_location("_events", ROOT / "docs" / "_events.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_event_reference_is_current() -> None:
    """docs/events.md is generated from the models; to update it: python docs/_events.py."""
    assert events_document().render() == (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def test_event_reference_has_every_field_of_meta() -> None:
    """These are the fields that capture sets, and those that are kept when content is not captured."""
    capture = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "coagent_langchain/capture").glob("*.py"))
    fields = {*re.findall(r'meta\["(\w+)"\]', capture), *_KEPT_INSIDE["meta"]}
    told = re.findall(r"`(\w+)`", str(events_document().META))

    assert sorted(fields.difference(told)) == []


def test_every_field_that_all_events_have_is_explained() -> None:
    """All but `event_type` are described in the models, for the reference and the API page."""
    assert [name for name in ENVELOPE if not LogEntry.model_fields[name].description] == ["event_type"]


def test_example_of_a_model_call_has_the_prompt_once() -> None:
    """Its history has only the messages before."""
    assert str(events_document().example_of(EventType.LLM_CALL)).count("Where to?") == 1


def test_example_entries_are_valid_and_complete() -> None:
    """There is an entry for each event type, which a server accepts, without unknown fields."""
    document = events_document()
    entries = [LogEntry.model_validate(document.example_of(k)) for k in document.MEANING]

    assert {entry.event_type for entry in entries} == set(EventType)
    assert [entry.model_extra for entry in entries] == [{}] * len(EventType)
    with launch() as server, CoagentClient(server.base_url) as client:
        assert client.store_logs(entries).success
