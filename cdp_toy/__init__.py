"""cdp_toy: the classification-distortion-perception tradeoff of small sources, solved exactly and with proof.

Everything below is loaded on first use, so that ``import cdp_toy`` stays light.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AdditiveGaussian": "degradations",
    "BayesClassifier": "classifiers",
    "binary_symmetric": "degradations",
    "blur": "degradations",
    "Bracket": "point",
    "CallableClassifier": "classifiers",
    "CallableDistortion": "distortions",
    "CDPError": "errors",
    "CDPProblem": "problem",
    "ContradictionError": "errors",
    "DensitySource": "sources",
    "DeterministicMap": "degradations",
    "DiscreteProblem": "finite",
    "DistortionEnclosure": "enclosure",
    "drop_coordinate": "degradations",
    "enclose": "enclosing",
    "enclose_flat_distortion": "enclosing",
    "enclose_min_distortion": "enclosing",
    "Enclosure": "enclosure",
    "Erasure": "degradations",
    "ExecutorError": "errors",
    "flat_distortion": "boundary",
    "GaussianMixture": "sources",
    "GaussianMixture2D": "sources",
    "Histogram": "sources",
    "Histogram2D": "sources",
    "histogram_source": "sources",
    "Hyperplane": "point",
    "Identity": "degradations",
    "IndependentPair": "sources",
    "InfeasibleError": "errors",
    "InputError": "errors",
    "LaplaceMixture": "sources",
    "linear_denoiser": "linear",
    "LinearClassifier": "classifiers",
    "LinearGaussian": "degradations",
    "load_problem": "problem_files",
    "load_surface": "surface_files",
    "MemoryRefusedError": "errors",
    "min_distortion": "boundary",
    "min_perception": "least_perception",
    "plot_boundary": "plotting",
    "plot_channel": "plotting",
    "plot_gap": "plotting",
    "plot_output_law": "plotting",
    "plot_prices": "plotting",
    "plot_slices": "plotting",
    "plot_surface": "plotting",
    "Point": "point",
    "QuadraticClassifier": "classifiers",
    "save_problem": "problem_files",
    "Solution": "solution",
    "solve": "solving",
    "SolveInterrupted": "solving",
    "Status": "point",
    "Surface": "surfaces",
    "SurfaceFileError": "errors",
    "TableClassifier": "classifiers",
    "TableDegradation": "degradations",
    "TableSource": "sources",
    "ThresholdClassifier": "classifiers",
    "trace": "tracing",
    "UniformMixture": "sources",
    "UniformQuantizer": "degradations",
    "which_solver": "solving",
}
_MODULES = ("closed_forms", "presets", "published", "theorems", "verify")

__all__ = ["__version__", *sorted(_HOME), *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"cdp_toy.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"cdp_toy.{name}")
    else:
        close = difflib.get_close_matches(name, __all__, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AttributeError(f"module 'cdp_toy' has no attribute {name!r}{hint}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
