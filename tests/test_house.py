"""The order of the house: who may import whom, which modules stay light, what is documented."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cdp_toy"

#: A module imports only from lines above its own; a package counts as one name. Names that do not exist are skipped.
LAYERS = [
    ["verify"],  # first, so that it can import nothing but itself
    ["errors"],
    ["validation", "whole_files"],
    ["couplings", "netcdf"],
    ["pieces", "perceptions", "costs", "cells", "kernels", "normal", "summaries", "toml_text"],
    ["plane_normal", "distortions", "pricing"],
    ["sources"],
    ["classifiers"],
    ["observation", "fractions"],
    ["degradations"],
    ["problem"],
    ["presets", "finite", "linear", "problem_files"],
    ["discretize", "published", "coarsening", "closed_forms"],
    ["continuous"],
    ["point"],
    ["solution"],
    ["certificates"],
    ["edges"],
    ["solvers"],
    ["boundary"],
    ["least_perception"],
    ["solving"],
    ["certificate_files"],
    ["enclosure"],
    ["evidence", "grid_enclosure"],
    ["enclosing"],
    ["theorems", "scan"],
    ["surfaces"],
    ["surface_contents", "surface_audit"],
    ["surface_reading"],
    ["surface_files", "surface_tables"],
    ["tracing"],
    ["study", "continuous_table", "workers"],
    ["traced_surfaces", "scan_tables"],
    ["plotting"],
    ["figures"],
    ["reproduce"],
    ["cli_options"],
    ["cli_surfaces"],
    ["cli"],
    ["__main__"],
]

#: One-line delegates that point forward, with the import inside of the function.
FORWARD_DELEGATES = {
    ("problem", "discretize", "CDPProblem.discretize"),
    ("surfaces.surface", "surface_files", "Surface.save"),
    ("surfaces.surface", "surface_tables", "Surface.to_csv"),
    ("surfaces.surface", "surface_tables", "Surface.to_xarray"),
}

#: Heavy libraries and the only modules that may import them, anywhere in their text.
HEAVY = {
    "cvxpy": {"solvers.reference"},
    "matplotlib": {"plotting", "figures"},
    "mpl_toolkits": {"plotting", "figures"},
    "flint": {"verify"},
    "xarray": {"surface_tables"},
    "dask": set(),  # users bring an executor; nothing here knows whose it is
    "distributed": set(),
}

LEVEL = {name: k for k, layer in enumerate(LAYERS) for name in layer}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def public_names() -> dict[str, str]:
    """Home module of every name that `cdp_toy` offers."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    homes = next(n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_HOME")
    return dict(ast.literal_eval(homes))


PUBLIC = public_names()


def module_name(path: Path) -> str:
    """Dotted name below cdp_toy; a package's __init__ has the package's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(node: ast.AST, scope: str = "") -> Iterator[tuple[str, str]]:
    """Every import as (dotted target, enclosing function), without TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in child.orelse:  # type: ignore[attr-defined]
                yield from imports(other, scope)
        elif isinstance(child, ast.Import):
            yield from ((alias.name, scope) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"relative import in line {child.lineno}: write cdp_toy. in full"
            for alias in child.names:
                target = child.module or ""
                yield (f"{target}.{alias.name}" if target == "cdp_toy" else target), scope
        else:
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from imports(child, f"{scope}.{child.name}".lstrip(".") if named else scope)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_backwards(path: Path) -> None:
    name = module_name(path)
    home = name.split(".")[0]
    assert home in LEVEL, f"cdp_toy/{home} has no place yet: add it to LAYERS"
    for target, scope in imports(ast.parse(path.read_text("utf-8"))):
        if target.split(".")[0] != "cdp_toy" or target == "cdp_toy.__version__":
            continue
        assert target != "cdp_toy", f"{name} imports the whole package; name the module it needs"
        used = PUBLIC.get(target.split(".")[1], target.split(".")[1])
        assert used in LEVEL, f"{name} imports {target}: no module in LAYERS"
        if used == home or (name, used, scope) in FORWARD_DELEGATES:
            continue
        assert LEVEL[used] < LEVEL[home], f"{name} ({scope or 'module level'}) imports {target}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_imports_a_package_base_backwards(path: Path) -> None:
    """Inside of a package, `base` knows none of its siblings."""
    name = module_name(path)
    if name.endswith(".base"):
        siblings = name.rsplit(".", 1)[0]
        for target, _ in imports(ast.parse(path.read_text("utf-8"))):
            assert not target.startswith(f"cdp_toy.{siblings}"), f"{name} imports its sibling {target}"


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_have_one_importer(library: str) -> None:
    importers = {
        module_name(path) or "__init__"
        for path in PACKAGE.rglob("*.py")
        for target, _ in imports(ast.parse(path.read_text("utf-8")))
        if target.split(".")[0] == library
    }
    assert {name for name in importers if not any(f"{name}.".startswith(f"{h}.") for h in HEAVY[library])} == set()


@pytest.mark.parametrize(
    "statement", ["import cdp_toy", "import cdp_toy; cdp_toy.presets.paper_toy().discretize(n=11)"]
)
def test_the_package_stays_light(statement: str) -> None:
    heavy = {"cvxpy", "matplotlib", "flint", "typer", "xarray"}
    code = f"{statement}; import sys; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [PACKAGE / "__init__.py", *FILES], ids=lambda path: module_name(path) or "__init__")
def test_everything_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module"]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree.body:
        if not isinstance(node, (*functions, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            missing.append(node.name)
        if isinstance(node, ast.ClassDef):
            missing += [
                f"{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, functions) and not method.name.startswith("_") and not ast.get_docstring(method)
            ]
    assert missing == []


def test_public_names_resolve_to_existing_modules() -> None:
    for name, home in PUBLIC.items():
        assert home in LEVEL, f"{name} is said to live in {home}, which has no place in LAYERS"


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in project["project"]
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "cdp_toy/__init__.py"
    assigned = [
        module_name(path)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__version__", "VERSION", "version")
    ]
    assert assigned == [""]
