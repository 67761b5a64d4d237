"""Each notebook runs from top to bottom, offline, and shows its pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
PICTURES = {"analysing_sessions": 3, "comparing_prompts": 3, "quick_start": 1}  # plots and waterfalls


def pictures(notebook: Any) -> int:
    """The number of plots and waterfalls in the cells."""
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in data or "<svg" in data.get("text/html", "") for data in shown)


def execute(notebook: Any, folder: Path) -> list[Any]:
    """Run all cells; returns what they wrote to stderr."""
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return [o for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from Jupyter's own packages
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    """No cell has an error or a warning."""
    notebook = nbformat.read(path, as_version=4)

    assert execute(notebook, path.parent) == []
    assert re.search(r'<a href="(http://127\.0\.0\.1:\d+)" target="_blank">\1</a>', str(notebook.cells))  # the viewer
    assert pictures(notebook) == PICTURES[path.stem]


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_can_run_again(path: Path) -> None:
    """Readers change a cell and run it again, also if it asks the model or logs."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        nbformat.v4.new_code_cell(cell.source) for cell in notebook.cells if cell.cell_type == "code" for _ in range(2)
    ]

    assert execute(notebook, path.parent) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_cell_says_what_to_install(path: Path) -> None:
    """One extra installs what every notebook needs."""
    first = nbformat.read(path, as_version=4).cells[0].source

    assert first.endswith(
        "Needs `pip install 'coagent-langchain[notebooks]'`; from a clone, `pip install '.[notebooks]'`."
    )


def test_every_notebook_is_listed() -> None:
    """The number of pictures is known for each notebook."""
    assert [path.stem for path in NOTEBOOKS] == sorted(PICTURES)
