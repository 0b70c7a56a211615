"""Copy the sources that the pages of this folder quote into them again: `python docs/refresh_quotes.py`.

A quotation is a comment `<!-- quote: PATH NAME -->` followed by a Python block; the block is the source of the class or
function NAME in the file PATH. The tests fail when a page quotes what is no longer there.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUOTE = re.compile(r"(<!-- quote: (\S+) (\w+) -->\n```python\n)(.*?)(```)", flags=re.DOTALL)


def source_of(path: str, name: str) -> str:
    """Source text of a class or function of a file, with its decorators."""
    text = (ROOT / path).read_text("utf-8")
    node = next(n for n in ast.parse(text).body if getattr(n, "name", None) == name)
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])  # type: ignore[attr-defined]
    return "\n".join(text.splitlines()[start - 1 : node.end_lineno]) + "\n"


def refreshed(page: str) -> str:
    """The text of a page with every quotation up to date."""
    return QUOTE.sub(lambda m: m[1] + source_of(m[2], m[3]) + m[5], page)


if __name__ == "__main__":
    for path in sorted((ROOT / "docs").glob("*.md")):
        path.write_text(refreshed(path.read_text("utf-8")), "utf-8")
