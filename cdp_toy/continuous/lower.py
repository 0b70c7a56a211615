"""Lower bounds on the continuous C(D, P), D_min(P) and D_flat(P): any prices and any potential prove one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cdp_toy.continuous.envelope import Side
from cdp_toy.continuous.grids import observation_cells
from cdp_toy.continuous.model import LineModel
from cdp_toy.errors import InputError
from cdp_toy.validation import Array, Indices

__all__ = ["Dual", "LowerBound", "crossing_cell", "lower_bound", "refined_cells"]

#: Rounding of a bound, as a share of the sizes of its summands. Masses of neighbouring cells are differences of the
#: same tails, so that it does not grow with their number.
ROUNDING = 32 * float(np.finfo(np.float64).eps)
#: half the width of the cell around a change of sides, as a share of the narrowest standard deviation of Y
CROSSING = 1e-9
#: cells next to a change of sides grow by this factor
GROWTH = 1.25
#: points of a round of search for a change of sides, and rounds
SEARCH, ROUNDS = 64, 6


@dataclass(frozen=True, eq=False)
class Dual:
    """Prices and a potential: all that a lower bound rests on.

    Attributes
    ----------
    error_weight : float
        w >= 0: 1 for bounds on C, 0 for D_min and proofs of infeasibility, large for D_flat.
    price_distortion, price_perception : float
        lam, kap >= 0; kap is that of the sum p f(q/p). It may be inf, for P = 0.
    nodes, potential : one array of shape (k,) for each side of the classifier
        v at increasing nodes strictly inside of the side [units of x]: linear between them, constant beyond. It must
        not be negative, unless f'(inf) or the price of perception is infinite.
    """

    error_weight: float
    price_distortion: float
    price_perception: float
    nodes: tuple[Array, ...]
    potential: tuple[Array, ...]


class LowerBound(NamedTuple):
    """A lower bound less the rounding allowed for it, and the side that each cell of y was sent to, shape (n,)."""

    value: float
    rounding: float
    sides: Indices


def lower_bound(
    model: LineModel,
    dual: Dual,
    cells: Array,
    max_distortion: float,
    max_perception: float,
    above_floor: bool = False,
) -> LowerBound:
    """Lagrangian lower bound on w error + (what the prices make of D and P), over all channels.

    With d(y, x) = E[(X - x)^2 | y], k(x) the side of x, psi(a) = min over r >= 0 of f(r) + (a - f'(inf)) r, and P' the
    level of sum p f(q/p) that is P, every channel with distortion <= D and perception <= P has

        w error >= integral p_Y(y) min over x of [w e_k(x)(y) + lam d(y, x) - v(x)]  -  lam D
                   + kap (integral p_X psi(v / kap) - P' + f'(inf)),

    with 0 for the last term where kap = 0, and integral p_X v where kap = inf and P = 0. So w = 1 bounds C(D, P); w = 0
    with lam = 1, D = 0 bounds D_min(P) and with D > 0 shows (D, P) out of reach when it is above 0; w > 0 with lam = 1,
    D = 0 and `above_floor` bounds D_flat(P). A level of inf needs a price of 0.

    Parameters
    ----------
    model : LineModel
    dual : Dual
    cells : array of shape (n + 1,)
        Finite increasing edges in y [units of x], such as `refined_cells` gives. Any are valid.
    max_distortion, max_perception : float
        D [squared units of x] and P [units of the divergence].
    above_floor : bool
        Bound w (error - floor) in place of w error, floor = integral of p_Y min over k of e_k, the least error of any
        channel. It costs no digits: of a cell the least integral over e_k is taken away, which is no less.

    Returns
    -------
    LowerBound

    Raises
    ------
    InputError
        When the dual does not fit the model, or edges do not increase.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> from cdp_toy.continuous.model import line_model
    >>> model = line_model(presets.paper_toy())
    >>> free = Dual(1.0, 0.0, 0.0, (np.array([0.0]), np.array([1.0])), (np.zeros(1), np.zeros(1)))
    >>> cells = refined_cells(model, free, 50)
    >>> print(f"{lower_bound(model, free, cells, np.inf, np.inf).value:.12f}")  # the Bayes error of Y
    0.204117333467

    Notes
    -----
    Each step is a lower bound, and of second order in the widths of the cells:

    *Last term.* psi is concave, so that on a piece where v is linear its chord lies below it. A chord integrates
    against p_X by the mass and the mean of X on the piece.

    *Cells of y.* G_k(m) = inf over x on side k of [lam x^2 - 2 lam m x - v(x)] is concave in m = mu(y), so that its
    chord between the edges lies below it; the chord integrates by P(Y in cell) and E[X; Y in cell]. e_k integrates
    exactly. With A_k = w e_k + G_k, for whatever side k is named for a cell of mass p,

        integral min_l A_l p_Y  >=  integral A_k p_Y  -  p max over l of sup over the cell of (A_k - A_l)^+,

    and the best k is taken. The supremum: sides are intervals in order, so that for k < l the minimisers have
    x_k <= x_l and G_k - G_l has the slope 2 lam (x_l - x_k) >= 0 in m, which increases in y. At a point y of the cell
    [a, b], h = b - a, therefore

        (A_k - A_l)(y) <= (w e_k - w e_l)(y) + (G_k - G_l)(mu(b)) <= (A_k - A_l)(b) + h w B_kl   for k < l,
        (A_l - A_k)(y) <= (A_l - A_k)(a) + h w B_kl,

    B_kl a bound on how fast e_k - e_l falls in the cell (`LineModel.falling_bound`). For two classes with monotone
    posteriors it is 0: then A_0 - A_1 increases and nothing is lost but in the one cell where it changes sign. Else a
    mass of order h around each such y loses of order h, and cells that shrink towards it lose next to nothing.

    Where A_k and A_l tie over a stretch of y that is of first order in h, and a second bound serves. A function of y
    lies within h^2/8 times its curvature of its chord: let C bound (e_k - e_l)'' and M bound mu'' in the cell. With
    m the chord of mu, G_k - G_l at mu(y) exceeds its value at m by at most S M h^2/8, S = 2 lam (x_l(b) - x_k(a)) its
    steepest slope. At m, G_l lies above its chord, and G_k above its own by no more than tangents at both ends allow,
    (slope(a) - slope(b)) (mu(b) - mu(a))/4 with the slopes -2 lam x_k. So for k < l, and likewise for l and k,

        (A_k - A_l)(y) <= max of (A_k - A_l)(a), (A_k - A_l)(b)
                          + h^2/8 (w C + S M) + lam (x_k(b) - x_k(a)) (mu(b) - mu(a))/2.

    *Tails of y.* lam x^2 - 2 lam m x >= -lam m^2 and E[mu^2; tail] <= E[X^2; tail] about any centre, so that a tail
    contributes at least -lam E[X^2; tail] - (max v - w min cost) P(tail).
    """
    sides = _sides(model, dual)
    if not (np.all(np.isfinite(cells)) and np.all(np.diff(cells) > 0) and len(cells) > 1):
        raise InputError("the edges of cells of y must be finite and increase")
    w, lam = dual.error_weight, dual.price_distortion
    parts = [_level_terms(model, dual, max_distortion, max_perception), _last_term(model, dual, sides)]
    below, inner, above = np.array([-np.inf, *cells[:1]]), cells, np.array([*cells[-1:], np.inf])
    peak = max(float(side.values.max()) for side in sides)
    if not above_floor:
        peak -= w * float(model.side_costs.min())
    for tail in (below, above):
        joint, _, second = model.observed_cells(tail, model.centre)
        parts.append(np.array([-lam * second[0], -peak * joint.sum()]))
    mean = model.mean(inner)
    joint, first, _ = model.observed_cells(inner, model.centre + mean[:-1])
    mass = joint.sum(axis=0)
    width = np.diff(mean)
    upper = np.clip(np.divide(first, width, out=0.5 * mass, where=width > 0), 0.0, mass)
    least, places = (np.stack(rows) for rows in zip(*(side.least(mean, lam) for side in sides), strict=True))
    errors = model.side_costs @ joint
    if above_floor:
        # none is negative, and what rounding makes of two that are equal would be blown up by the weight
        errors = np.maximum(errors - errors.min(axis=0) - ROUNDING, 0.0)
    value = w * errors + least[:, :-1] * (mass - upper) + least[:, 1:] * upper
    level = w * model.side_costs @ model.posterior(inner) + least  # A at the edges
    excess = _excess(model, dual, inner, mean, level, places)
    bound = value - excess * mass
    chosen = bound.argmax(axis=0)
    parts.append(np.take_along_axis(bound, chosen[None], axis=0)[0])
    everything = np.concatenate([np.ravel(part) for part in parts])
    paid = np.take_along_axis(w * errors, chosen[None], axis=0)[0]
    sizes = float(np.abs(everything[: -len(mass)]).sum() + np.abs(paid).sum() + np.abs(least).max(axis=0)[1:] @ mass)
    rounding = ROUNDING * sizes
    total = math.fsum(everything.tolist()) if np.all(np.isfinite(everything)) else -math.inf
    return LowerBound(total - rounding, rounding, chosen)


def refined_cells(model: LineModel, dual: Dual, n: int) -> Array:
    """Edges of about n cells of y for a dual, with narrow ones where the best side changes, shape (m + 1,).

    Every change is bracketed to 1e-9 standard deviations; where the costs are not known to be monotone cells grow from
    there by a factor.
    """
    sides = _sides(model, dual)
    base = observation_cells(model, n)
    scale = float(model.law.total_stds.min())
    extra = [np.zeros(0)]
    for c in _crossings(model, dual, sides, base):
        steps = [CROSSING * scale]
        if model.rising_class is None:
            reach = 2 * float(np.diff(base)[min(np.searchsorted(base, c, side="right"), len(base) - 1) - 1])
            count = max(math.ceil(math.log(max(reach / steps[0], 1.0)) / math.log(GROWTH)), 0)
            steps = [steps[0] * GROWTH**i for i in range(count + 1)]
        extra += [c - np.array(steps), c + np.array(steps)]
    points = np.unique(np.concatenate([base, *extra]))
    return np.asarray(points[(points >= base[0]) & (points <= base[-1])])


def crossing_cell(model: LineModel, dual: Dual, cells: Array) -> int:
    """First cell of y at whose right edge A_0 > A_1, of a model with two sides; the last cell where there is none."""
    mean = model.mean(cells)
    below, above = (side.least(mean, dual.price_distortion)[0] for side in _sides(model, dual))
    costs = dual.error_weight * model.side_costs @ model.posterior(cells)
    beyond = np.flatnonzero((costs[0] + below > costs[1] + above)[1:])
    return int(beyond[0]) if len(beyond) else len(cells) - 2


def _sides(model: LineModel, dual: Dual) -> list[Side]:
    """Sides about the centre, refused where they do not fit."""
    ends = np.concatenate([[-np.inf], model.boundaries, [np.inf]])
    if not len(dual.nodes) == len(dual.potential) == len(ends) - 1:
        raise InputError(
            f"{len(dual.nodes)} rows of nodes and {len(dual.potential)} of potentials, not {len(ends) - 1}"
        )
    if not (min(dual.error_weight, dual.price_distortion, dual.price_perception) >= 0):
        raise InputError("the weight of the error and the prices must not be negative")
    if not math.isfinite(dual.error_weight + dual.price_distortion):
        raise InputError("the weight of the error and the price of distortion must be finite")
    # where f'(inf) is infinite psi is finite everywhere; at an infinite price the last term is linear
    signed = dual.price_perception == 0 or (math.isfinite(dual.price_perception + model.perception.slope_at_infinity))
    out = []
    for k, (x, v) in enumerate(zip(dual.nodes, dual.potential, strict=True)):
        low, high = ends[k], ends[k + 1]
        if len(x) == 0 or len(x) != len(v) or not (low < x[0] and x[-1] < high and np.all(np.diff(x) > 0)):
            raise InputError(f"nodes of side {k} must increase strictly between {low:g} and {high:g}, one value each")
        if not np.all(np.isfinite(v)):
            raise InputError(f"the potential must be finite; side {k} has {v[~np.isfinite(v)][0]} in it")
        if signed and v.min() < 0:
            raise InputError(
                f"the potential must not be negative under {model.perception.name}; side {k} has {v.min()}"
            )
        out.append(Side(low - model.centre, high - model.centre, x - model.centre, v))
    return out


def _level_terms(model: LineModel, dual: Dual, max_distortion: float, max_perception: float) -> Array:
    """lam (Var X - D) - kap (P' - f'(inf)), its summands; Var X because d is about the centre."""
    lam, kap, perception = dual.price_distortion, dual.price_perception, model.perception
    terms = [lam * model.variance, -lam * max_distortion if lam > 0 else 0.0]
    if math.isinf(kap):
        terms.append(0.0 if max_perception == 0 else -math.inf)
    elif kap > 0:
        slope = perception.slope_at_infinity
        terms += [-kap * perception.sum_level(max_perception), kap * slope if math.isfinite(slope) else 0.0]
    return np.array(terms)


def _last_term(model: LineModel, dual: Dual, sides: list[Side]) -> Array:
    """Summands of kap integral p_X psi(v/kap), chord by chord."""
    kap = dual.price_perception
    if kap == 0:
        return np.zeros(1)
    parts = []
    for side in sides:
        edges = np.concatenate([[side.low], side.nodes, [side.high]]) + model.centre
        about = np.concatenate([side.nodes[:1], side.nodes]) + model.centre
        mass, first, _ = (model.priors @ part for part in model.source.cell_integrals(edges, 0.0, about))
        height = side.values if math.isinf(kap) else kap * model.perception.conjugate(side.values / kap)
        inner = mass[1:-1]
        upper = np.clip(first[1:-1] / np.diff(side.nodes), 0.0, inner)
        weight = np.concatenate([mass[:1], upper]) + np.concatenate([inner - upper, mass[-1:]])
        with np.errstate(invalid="ignore"):
            parts.append(np.asarray(np.where(weight > 0, weight * height, 0.0)))
    return np.concatenate(parts)


def _excess(model: LineModel, dual: Dual, cells: Array, mean: Array, level: Array, places: Array) -> Array:
    """Bound on max over l of sup over the cell of (A_k - A_l)^+, shape (S, n).

    From mu, A and the minimisers x at the edges, shapes (n + 1,), (S, n + 1) and (S, n + 1).
    """
    out = np.zeros((len(level), len(cells) - 1))
    width, rise = np.diff(cells), np.diff(mean)
    bent = model.mean_curvature(cells)
    w, lam = dual.error_weight, dual.price_distortion
    for k in range(len(level)):
        for other in range(k + 1, len(level)):
            fall = w * model.falling_bound(k, other, cells) * width
            steepest = 2 * lam * (places[other, 1:] - places[k, :-1])
            curved = 0.125 * width**2 * (w * model.cost_curvature(k, other, cells) + steepest * bent)
            difference = level[k] - level[other]
            for side, one_sided, sign in ((k, difference[1:], 1.0), (other, -difference[:-1], -1.0)):
                ends = np.maximum(sign * difference[1:], sign * difference[:-1])
                bump = 0.5 * lam * np.diff(places[side]) * rise
                out[side] = np.maximum(out[side], np.minimum(one_sided + fall, ends + curved + bump))
    return out


def _crossings(model: LineModel, dual: Dual, sides: list[Side], base: Array) -> Array:
    """The y where the side of least A changes, by rounds of ever finer points around every change."""

    def best(y: Array) -> Indices:
        mean = model.mean(y)
        least = np.stack([side.least(mean, dual.price_distortion)[0] for side in sides])
        level = dual.error_weight * model.side_costs @ model.posterior(y) + least
        return np.asarray(level.argmin(axis=0))

    points, around = base, np.zeros(0)
    for _ in range(ROUNDS):
        change = np.flatnonzero(np.diff(best(points)))
        left, right = points[change], points[change + 1]
        around = 0.5 * (left + right)
        if not len(change):
            break
        points = np.unique(np.concatenate([np.linspace(a, b, SEARCH) for a, b in zip(left, right, strict=True)]))
    return around
