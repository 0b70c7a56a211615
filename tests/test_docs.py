"""The pages under docs: every block of Python runs, and what they quote of the sources is what stands there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def quotes() -> object:
    spec = importlib.util.spec_from_file_location("refresh_quotes", ROOT / "docs" / "refresh_quotes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_sources_are_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")
    assert quotes().refreshed(text) == text, "run python docs/refresh_quotes.py"


def test_the_page_quotes_a_source_a_degradation_and_a_classifier() -> None:
    found = quotes().QUOTE.findall((ROOT / "docs" / "your-own-problem.md").read_text("utf-8"))
    assert [path.split("/")[1] for _, path, *_ in found] == ["sources", "degradations", "classifiers"]
    assert all(len(body) > 500 for *_, body, _ in found)


def test_the_blocks_of_your_own_problem_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = quotes().QUOTE.sub("", (ROOT / "docs" / "your-own-problem.md").read_text("utf-8"))
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with matplotlib.rc_context({"figure.max_open_warning": 0}):
        for k, block in enumerate(blocks):
            exec(compile(block, f"your-own-problem.md, block {k}", "exec"), names)
    for picture in ("output_law.png", "channel.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert names["point"].status.name == "OPTIMAL"
    assert names["cells"].continuous_bound is False
