"""The notebook is run in a fresh kernel, and what is committed of it is complete, small and free of local paths."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOK = FOLDER / "01_toy_figure.ipynb"

#: Bytes; outputs are part of the file.
LARGEST_FILE = 400_000


def outputs(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return list(cell.get("outputs", []))


def code_cells() -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]


def speaks(source: str) -> bool:
    """A cell that prints or shows something is supposed to have outputs."""
    return any(word in source for word in ("print(", "plt.show()", "display("))


@pytest.mark.slow
# the machinery around the kernel is not ours: nothing it deprecates is a fault of the notebook
@pytest.mark.filterwarnings("ignore::DeprecationWarning:(zmq|tornado|jupyter_client|jupyter_core|nbclient|ipykernel)")
@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning:zmq")
@pytest.mark.filterwarnings("ignore:Jupyter is migrating its paths:DeprecationWarning")
def test_the_notebook_runs_in_a_fresh_kernel() -> None:
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(FOLDER)}}
    # a failing cell raises CellExecutionError with its traceback
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources, coalesce_streams=True).execute()
    fresh = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, committed in zip(fresh, code_cells(), strict=True):
        kinds = [sorted(out.get("data", {"text": 0})) for out in outputs(cell) if out.get("name") != "stderr"]
        assert kinds == [sorted(out.get("data", {"text": 0})) for out in outputs(committed)], cell.source


def test_every_code_cell_has_its_outputs() -> None:
    cells = code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "not run from top to bottom"
    for cell in cells:
        assert bool(outputs(cell)) == speaks(cell.source), cell.source
        if "plt.show()" in cell.source or "display(" in cell.source:
            assert any("image/png" in out.get("data", {}) for out in outputs(cell)), cell.source


def test_no_output_is_an_error_or_a_warning() -> None:
    for cell in code_cells():
        for out in outputs(cell):
            assert out.output_type != "error", cell.source
            assert out.get("name") != "stderr", out.get("text")


def test_the_file_is_small_and_knows_no_machine() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert len(text.encode()) < LARGEST_FILE
    assert [place for place in ("/tmp/", "/home/", "/root/") if place in text] == []
    assert '"execution":' not in text, "timestamps of a run change with every run"
