"""How much of each cell belongs to each class, where a class boundary cuts cells of the plane.

a_jk = P(c0(X) = k | X in cell j) is an integral along the first axis of the grid of masses along the second, between
cell edges and class boundaries, which are closed forms. The integrand has kinks where a boundary crosses an edge, so
panels on which two Gauss rules disagree are halved.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from cdp_toy.cells import LIGHTEST_CELL, PlaneCells
from cdp_toy.classifiers import PlaneRule
from cdp_toy.sources import PlaneSource
from cdp_toy.validation import Array, Indices

__all__ = ["Fractions", "class_fractions"]

#: Fractions below this are rounding of the quadrature.
NEGLIGIBLE = 1e-12
#: Relative accuracy of a cell's masses that ends the halving of a panel.
ACCURACY = 1e-14
#: Halvings of a panel: a kink costs its panel's width squared, so 26 leave 1e-16 of a cell. A scanned boundary is
#: followed to what is worth its many probes.
HALVINGS, SCANNED_HALVINGS = 40, 8
#: Panels at a time: what is not settled by then is left to the error estimate.
MOST_PANELS = 20_000
#: Beyond this many standard deviations of every component a strip has no mass that counts (below 1e-40).
REACH = 13.5

_LARGE, _SMALL = np.polynomial.legendre.leggauss(20), np.polynomial.legendre.leggauss(12)
_NODES = np.concatenate([_LARGE[0], _SMALL[0]])
_FINE, _COARSE = np.concatenate([_LARGE[1], np.zeros(12)]), np.concatenate([np.zeros(20), _SMALL[1]])


class Fractions(NamedTuple):
    """Share of every class in every letter, shape (n, K), and the largest estimated error of a share."""

    share: Array
    error: float


def class_fractions(source: PlaneSource, cells: PlaneCells, rule: PlaneRule, n_classes: int) -> Fractions:
    """Shares of the classes in the cells of a grid, under p_X.

    Parameters
    ----------
    source : PlaneSource
    cells : PlaneCells
    rule : PlaneRule
        The predefined classifier in the plane.
    n_classes : int
    """
    if rule.aligned:
        kinds = rule.at(cells.centres())
        mass = (
            np.asarray(source.priors)
            @ source.cell_integrals(cells.edges, cells.frame, np.zeros((2, 2)), source.mean).mass
        )
        parts = np.zeros((len(kinds), n_classes))
        parts[np.arange(len(kinds)), kinds] = np.where(mass > 0, mass, np.finfo(float).tiny)
        error = 0.0
    else:
        parts, error = _integrated(source, cells, rule, n_classes)
    shares = np.moveaxis(cells.gather(np.moveaxis(parts, -1, 0)), 0, -1)
    empty = shares.sum(axis=1) == 0
    if empty.any():  # a cell without mass is of the class at a point inside of it
        inside = np.zeros((cells.n, 2))
        inside[cells.letters] = cells.centres()
        shares[empty, rule.at(inside[empty])] = 1.0
    shares /= shares.sum(axis=1, keepdims=True)
    shares[shares < NEGLIGIBLE] = 0.0
    return Fractions(shares / shares.sum(axis=1, keepdims=True), error)


def _integrated(source: PlaneSource, cells: PlaneCells, rule: PlaneRule, n_classes: int) -> tuple[Array, float]:
    """Mass of every class in every rectangle, shape (n1 * n2, K), and the largest relative error."""
    n1, n2 = cells.shape
    low, high = source.bounds(cells.frame, np.zeros((2, 2)), REACH)[0]
    inner = [cells.edges[0], source.strip_breaks(cells.frame), rule.breaks(cells.frame, cells.edges[1])]
    ends = np.unique(np.clip(np.concatenate([*inner, [low, high]]), low, high))
    ends = ends[np.concatenate([[True], np.diff(ends) > 1e-13 * (high - low)])]
    # every strip in four parts, and cut where boundaries turn back or cross an edge, and around what is narrow
    quarters = np.linspace(0.0, 1.0, 5)
    fine = np.unique(np.concatenate([ends, *(a + (b - a) * quarters for a, b in pairwise(ends))]))
    left, right = fine[:-1], fine[1:]
    strip = np.clip(np.searchsorted(cells.edges[0], (left + right) / 2, side="right") - 1, 0, n1 - 1)
    parts, doubt = np.zeros((n1, n2, n_classes)), np.zeros((n1, n2))
    halvings = HALVINGS if rule.exact else SCANNED_HALVINGS
    for step in range(halvings + 1):
        fine, coarse = _rules(source, cells, rule, n_classes, left, right)
        off = np.abs(fine - coarse).max(axis=2)  # (panels, n2)
        known = parts.sum(axis=2)
        np.add.at(known, strip, fine.sum(axis=2))
        split = (off > ACCURACY * known[strip]).any(axis=1) & (step < halvings) & (len(left) < MOST_PANELS)
        np.add.at(parts, strip[~split], fine[~split])
        np.add.at(doubt, strip[~split], off[~split])
        if not split.any():
            break
        middle = 0.5 * (left + right)[split]
        left, right = np.concatenate([left[split], middle]), np.concatenate([middle, right[split]])
        strip = np.tile(strip[split], 2)
    total = parts.sum(axis=2)
    priors = np.asarray(source.priors)
    exact = priors @ source.cell_integrals(cells.edges, cells.frame, np.zeros((2, 2)), source.mean).mass
    doubt = np.maximum(doubt, np.abs(total - exact.reshape(n1, n2)))  # masses that are known without the strips
    used = exact.reshape(n1, n2) >= LIGHTEST_CELL
    relative = np.divide(doubt, total, where=used & (total > 0), out=np.where(used, 1.0, 0.0))
    return parts.reshape(n1 * n2, n_classes), float(relative.max())


def _rules(
    source: PlaneSource, cells: PlaneCells, rule: PlaneRule, n_classes: int, left: Array, right: Array
) -> tuple[Array, Array]:
    """Masses of cells and classes on each panel by two rules, each of shape (panels, n2, K)."""
    half = 0.5 * (right - left)
    t = (left[:, None] + half[:, None] * (1 + _NODES)).ravel()
    boundaries, classes = rule.slices(cells.frame, t)
    values = _along(source, cells, n_classes, t, boundaries, classes)
    values = values.reshape(len(left), len(_NODES), *values.shape[1:])
    fine, coarse = (np.einsum("pnjk,n->pjk", values, weights) * half[:, None, None] for weights in (_FINE, _COARSE))
    return fine, coarse


def _along(
    source: PlaneSource, cells: PlaneCells, n_classes: int, t: Array, boundaries: Array, classes: Indices
) -> Array:
    """Mass of every cell and class along the lines u1 = t, shape (m, n2, K)."""
    edges = cells.edges[1]
    m, infinite = len(t), np.full((len(t), 1), np.inf)
    starts = np.concatenate([-infinite, boundaries], axis=1)
    stops = np.concatenate([boundaries, infinite], axis=1)
    out = np.zeros((m, len(edges) - 1, n_classes))
    lines = np.arange(m)
    for r in range(starts.shape[1]):  # runs of one class; few, since a conic has two crossings at most
        low = np.maximum(edges[:-1], starts[:, r, None])
        high = np.maximum(np.minimum(edges[1:], stops[:, r, None]), low)
        out[lines, :, classes[:, r]] += source.strip_mass(cells.frame, t, low, high)
    return out
