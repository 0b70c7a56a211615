"""From hints in double precision to a certificate: exact rationals for the problem, hex floats for the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from cdp_toy.classifiers import BayesClassifier, ThresholdClassifier
from cdp_toy.continuous.conditions import monotone_threshold
from cdp_toy.continuous.lower import Dual, crossing_cell
from cdp_toy.continuous.model import LineModel
from cdp_toy.degradations import AdditiveGaussian
from cdp_toy.errors import InputError
from cdp_toy.perceptions import perception_from
from cdp_toy.perceptions.renyi import Renyi
from cdp_toy.problem import CDPProblem
from cdp_toy.solvers.monotone import MonotoneMap
from cdp_toy.sources import GaussianMixture
from cdp_toy.validation import Array

__all__ = ["Ball", "channel_part", "derived", "dual_part", "problem_part", "write_certificate"]

#: an interval as floats, rounded outwards
Ball = tuple[float, float]
Quantity = Literal["error_rate", "min_distortion", "flat_distortion", "infeasible"]


def problem_part(problem: CDPProblem) -> dict[str, Any]:
    """The problem in exact rationals: the shortest decimals that are the user's numbers.

    Raises
    ------
    InputError
        When the monotone reduction does not apply, or probabilities do not sum to one as decimals.
    """
    rising = monotone_threshold(problem).rising_class
    source, noise = cast(GaussianMixture, problem.source), cast(AdditiveGaussian, problem.degradation)
    classifier = problem.classifier
    weights = source.weights
    shares = [
        [f"1/{len(row)}"] * len(row) if weights is None else [rational(w) for w in weights[c]]
        for c, row in enumerate(source.means)
    ]
    priors = [rational(p) for p in source.priors]
    for name, row in (("priors", priors), *((f"weights of class {c}", row) for c, row in enumerate(shares))):
        total = sum(map(Fraction, row))
        if total != 1:
            raise InputError(
                f"{name} are read as the decimals {', '.join(map(decimal, row))}, which sum to {decimal(str(total))}; "
                "a rigorous statement needs decimals that sum to one exactly"
            )
    if isinstance(classifier, ThresholdClassifier):
        threshold = rational(monotone_threshold(problem).threshold)
    elif isinstance(classifier, BayesClassifier):
        threshold = "bayes"
    else:
        name = type(classifier).__name__
        raise InputError(f"a rigorous statement needs a ThresholdClassifier or a BayesClassifier, not a {name}")
    return {
        "priors": priors,
        "means": [[rational(m) for m in row] for row in source.means],
        "weights": shares,
        "stds": [[rational(s) for s in row] for row in source.stds],
        "noise_std": rational(noise.noise_std),
        "threshold": threshold,
        "classes": [1 - rising, rising],
        "perception": perception_from(problem.perception).name,
    }


def channel_part(found: MonotoneMap, exactly_p: bool, decides: bool) -> dict[str, Any]:
    """A map: the threshold among its edges is left to the problem.

    `exactly_p` for the map that reproduces the source law, `decides` for one that decides by the larger posterior.
    """
    at = found.threshold_index
    edges = hexes(np.delete(found.edges, at))
    if exactly_p:
        return {"quantile": edges, "threshold_index": at}
    places: list[str] = hexes(found.places)
    if decides:
        places[at] = "decision"
    return {"edges": edges, "threshold_index": at, "map": places}


def dual_part(model: LineModel, dual: Dual, cells: Array) -> dict[str, Any]:
    """Prices and potential, and the cells of y with the one where the side changes."""
    perception = model.perception
    unit = abs(perception.order - 1) if isinstance(perception, Renyi) else 1.0  # of the sum in the file
    kap = dual.price_perception
    # a constant changes nothing, as rows of a channel sum to one; the file has none that is negative
    shift = min(0.0, *(float(v.min()) for v in dual.potential))
    return {
        "error_weight": float(dual.error_weight).hex(),
        "price_distortion": float(dual.price_distortion).hex(),
        "price_perception": "inf" if math.isinf(kap) else float(kap / unit).hex(),
        "nodes": [hexes(x) for x in dual.nodes],
        "potential": [hexes(v - shift) for v in dual.potential],
        "cells": hexes(cells),
        "crossing": crossing_cell(model, dual, cells),
    }


def derived(
    problem: dict[str, Any],
    quantity: Quantity,
    max_distortion: float | None,
    max_perception: float,
    channel: dict[str, Any] | None,
    dual: dict[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Ball]]:
    """A certificate that claims exactly what follows from its hints in ball arithmetic, and all that follows.

    Raises
    ------
    cdp_toy.verify.NotProven
        When the hints prove nothing: the map misses a level, say.
    """
    from cdp_toy import verify

    out: dict[str, Any] = {
        "format": "cdp_toy enclosure",
        "version": 1,
        "problem": problem,
        "max_distortion": None if max_distortion is None else rational(max_distortion),
        "max_perception": rational(max_perception),
        "claim": {"quantity": quantity, "lower": None, "upper": None},
        "channel": channel,
        "dual": dual,
    }
    balls = {name: _outward(ball) for name, ball in verify.enclosures(out).items()}
    if quantity != "infeasible":
        out["claim"]["lower"] = balls["lower"][0].hex() if math.isfinite(balls["lower"][0]) else None
        out["claim"]["upper"] = balls["upper"][1].hex() if "upper" in balls else None
    return out, balls


def write_certificate(certificate: dict[str, Any], path: str | Path) -> Path:
    """Write a certificate as JSON, a list a line."""
    path = Path(path)
    path.write_text(json.dumps(certificate, separators=(",", ": "), indent=None) + "\n", encoding="utf-8")
    return path


def rational(value: float) -> str:
    """The shortest decimal that is this double, as a fraction.

    >>> rational(0.7), rational(2.0), rational(1e-3), rational(float("inf"))
    ('7/10', '2', '1/1000', 'inf')
    """
    return "inf" if value == math.inf else str(Fraction(repr(float(value))))


def decimal(text: str) -> str:
    """A fraction as people write it."""
    return f"{float(Fraction(text)):.17g}"


def hexes(values: Sequence[float] | Array) -> list[str]:
    """Exact hexadecimal floats."""
    return [float(value).hex() for value in values]


def _outward(ball: Any) -> Ball:
    """Ends of a ball as floats that hold it."""
    low, high = float(ball.lower()), float(ball.upper())  # rounded outwards to the precision of now, then to a double
    return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
