"""The README is run: its Python lines here, its first shell block by hand, its second by the test command itself."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import cdp_toy as cdp
from cdp_toy.verify import verify_file

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_ten_lines_run_and_print_bounds() -> None:
    code = BLOCKS[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert "OPTIMAL" in printed.getvalue()
    assert "lower bound" in printed.getvalue()
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_enclosure_has_the_digits_that_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(block for block in BLOCKS if "rigorous=True" in block)
    shown = re.findall(r"0\.\d{10,}", code)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"cdp": cdp, "toy": cdp.presets.paper_toy()}
    exec(compile(code, "README.md", "exec"), names)
    point = names["point"]
    assert [repr(end)[:13] for end in (point.lower_bound, point.upper_bound)] == [text[:13] for text in shown]
    assert verify_file(tmp_path / "point.json").verdict == "VERIFIED"


def test_the_surface_is_traced() -> None:
    code = next(block for block in BLOCKS if "cdp.trace(" in block)
    names: dict[str, object] = {"cdp": cdp, "grid": cdp.presets.paper_toy().discretize(n=51)}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), names)
    assert "tolerance reached" in printed.getvalue()
    surface = names["surface"]
    assert surface.lower(0.7, 0.01) <= surface.upper(0.7, 0.01) <= surface.lower(0.7, 0.01) + 1e-4


def test_the_path_from_samples_to_a_plotted_point_is_short_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = next(block for block in BLOCKS if "histogram_source" in block)
    assert len([line for line in code.splitlines() if line.strip()]) < 12
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "point.png").read_bytes().startswith(b"\x89PNG")
    point = names["point"]
    assert point.status.name == "OPTIMAL"
    assert point.continuous_upper_bound == point.upper_bound


def test_quick_start_has_two_blocks_that_make_their_own_environment() -> None:
    quick = README.split("## Quick start")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", quick, flags=re.DOTALL)
    assert len(blocks) == 2
    assert all(block.startswith("python3 -m venv .venv\n") for block in blocks)
    assert "cdp-toy reproduce" in blocks[0]
    assert "pytest" in blocks[1]


def test_links_of_readme_and_docs_lead_somewhere() -> None:
    root = Path(__file__).parents[1]
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
