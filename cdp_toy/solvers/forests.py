"""Best couplings at given prices by an active-set method on forests, many at once.

At prices lam, kap > 0 the least of E[error + lam d] + kap sum p f(q/p) over all channels has

    u_i + v_j <= c_ij = error_ij + lam d_ij,  with equality where mass flows,   v_j = kap descent(q_j / p_j),

and the pairs where mass flows can be taken to be a forest. On a forest all of this is easy: c along a tree gives u and
v up to one number, which follows from the mass of the tree's observations, one monotone equation, and flows follow from
leaf to leaf. Where a flow would turn negative its pair is dropped, and where u_i + v_j > c_ij a pair is added; every
step lowers the Lagrangian, as in the network simplex. From the forest of a neighbour it takes a few steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cdp_toy.solvers.tables import Tables
from cdp_toy.solvers.trees import Forests, peeled
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["Couplings", "best_couplings"]

#: Steps before a coupling is given up: prices a factor of two away took up to 200 on 256 x 256 pairs, ten per cent 40.
MOST_STEPS = 400
#: Pairs that are added at once, and how much each misses, as a share of the one that misses most.
MOST_ENTERING, WORTHWHILE = 16, 0.1
#: Steps of Newton's method for the mass of trees, and the relative miss at which it ends.
NEWTON_STEPS, MISS = 60, 1e-14
#: Flows that are no more negative than this are none: rounding of sums of masses.
NOISE = 1e-15


class Couplings(NamedTuple):
    """Couplings of p_Y with laws, and what proves them, one per row.

    Attributes
    ----------
    keys, mass : lists of m arrays
        Pairs row * n_x + column, which are a forest, and their mass.
    laws, potentials : arrays of shape (m, n_x)
    gap : array of shape (m,)
        What the Lagrangian may be above its least value; inf where nothing was found.
    """

    keys: list[Indices]
    mass: list[Array]
    laws: Array
    potentials: Array
    gap: Array


@dataclass(eq=False)
class _Batch:
    """Forests at work: prices, and pairs ordered by their owner with the mass that flows."""

    tables: Tables
    lam: Array
    kap: Array
    owner: Indices
    rows: Indices
    columns: Indices
    mass: Array
    laws: Array

    def __len__(self) -> int:
        return len(self.lam)

    @property
    def ends(self) -> Indices:
        """Nodes of the pairs: all observations first, owner by owner, then all letters."""
        n_y, n_x = self.tables.error.shape
        return np.stack([self.owner * n_y + self.rows, len(self) * n_y + self.owner * n_x + self.columns])

    def by_owner(self, values: Array) -> Array:
        """Least value of the pairs of every owner."""
        return np.asarray(np.minimum.reduceat(values, np.searchsorted(self.owner, np.arange(len(self)))))

    def slices(self, owners: Mask) -> Iterator[tuple[int, slice]]:
        """Numbers of some owners, and where their pairs are."""
        starts = np.searchsorted(self.owner, np.arange(len(self) + 1)).tolist()
        for k in np.flatnonzero(owners).tolist():
            yield k, slice(starts[k], starts[k + 1])

    def keep(self, which: Mask) -> None:
        """Drop the other pairs."""
        self.owner, self.rows, self.columns = self.owner[which], self.rows[which], self.columns[which]
        self.mass = self.mass[which]

    def add(self, owner: Indices, rows: Indices, columns: Indices, mass: Array) -> None:
        """Add pairs."""
        places = np.searchsorted(self.owner, owner, side="right")
        self.owner = np.insert(self.owner, places, owner)
        self.rows = np.insert(self.rows, places, rows)
        self.columns = np.insert(self.columns, places, columns)
        self.mass = np.insert(self.mass, places, mass)

    def let_go(self, owners: Mask) -> None:
        """Forget some owners."""
        self.keep(~owners[self.owner])
        self.owner = (np.cumsum(~owners) - 1)[self.owner]
        self.lam, self.kap, self.laws = (array[~owners] for array in (self.lam, self.kap, self.laws))


class _Best(NamedTuple):
    """What is best on forests."""

    forests: Forests
    sign: Array  # of every pair: 1 where its letter is the leaf, -1 where its observation is
    mass: Array  # of every pair, perhaps negative
    laws: Array
    rows: Array  # u
    potentials: Array  # v


def best_couplings(tables: Tables, keys: list[Indices], prices: Array, known: Array, goal: float) -> Couplings:
    """Couplings of least E[error + lam d] + kap sum p f(q/p), from forests that are best at other prices.

    Parameters
    ----------
    tables : Tables
    keys : list of m integer arrays
        Pairs row * n_x + column of forests that touch every letter and every observation of positive mass.
    prices : array of shape (m, 2)
        lam and kap, positive.
    known : array of shape (m, 2)
        Prices at which the forests are best, or nearly so.
    goal : float
        Gap of the Lagrangian at which to stop [units of the error rate].
    """
    m, n_x = len(keys), len(tables.p_x)
    owner = np.repeat(np.arange(m), [len(some) for some in keys])
    rows, columns = np.divmod(np.concatenate(keys).astype(np.intp), n_x)
    start, laws = np.zeros(len(owner)), np.tile(tables.p_x, (m, 1))
    batch = _Batch(tables, known[:, 0], known[:, 1], owner, rows, columns, start, laws)
    nothing: Indices = np.zeros(0, dtype=np.intp)
    out = Couplings([nothing] * m, [np.zeros(0)] * m, np.zeros((m, n_x)), np.zeros((m, n_x)), np.full(m, np.inf))
    numbers: Indices = np.arange(m)
    begun = False
    for _ in range(MOST_STEPS):
        best = _best_on(batch)
        if best is None:
            break
        lost = np.asarray(~np.isfinite(best.laws).all(axis=1))
        if lost.any():  # at prices so low that what sets letters apart is rounded off
            batch.let_go(lost)
            numbers = numbers[~lost]
            if lost.all():
                break
            continue
        batch.laws = best.laws
        if not begun:  # any flows will do to begin with
            batch.mass = _of_rows(batch, np.maximum(best.mass, 0.0))
            batch.lam, batch.kap = prices[numbers, 0], prices[numbers, 1]
            begun = True
            continue
        there, dropped = _advance(batch, best)
        gap, entering = _missing(batch, best, there, goal)
        done = gap <= goal
        if done.any():
            mass = _of_rows(batch, batch.mass)
            laws, over = _attained(batch, best, mass)
            gap = gap + over
            for k, mine in batch.slices(done & (gap <= goal)):
                number = numbers[k]
                out.keys[number], out.mass[number] = batch.rows[mine] * n_x + batch.columns[mine], mass[mine].copy()
                out.laws[number], out.potentials[number], out.gap[number] = laws[k], best.potentials[k], gap[k]
        if done.all():
            break
        _exchange(batch, best, entering, dropped)
        batch.let_go(done)
        numbers = numbers[~done]
    return out


def _best_on(batch: _Batch) -> _Best | None:
    """The best flows on forests, negative ones included; None where a circle is among them."""
    tables, m, kap = batch.tables, len(batch), batch.kap
    n_y, n_x = tables.error.shape
    forests = peeled(batch.ends, m * (n_y + n_x))
    if forests is None:
        return None
    sign = np.where(forests.leaf >= m * n_y, 1.0, -1.0)
    cost = tables.error[batch.rows, batch.columns] + batch.lam[batch.owner] * tables.distance[batch.rows, batch.columns]
    along = forests.along(sign * cost)  # v of letters and -u of observations
    of_rows, of_letters = forests.tree[: m * n_y], forests.tree[m * n_y :]
    mass = np.asarray(np.bincount(of_rows, np.tile(tables.p_y, m), forests.n_trees), dtype=np.float64)
    scaled = along[m * n_y :] / np.repeat(kap, n_x)
    shift = _shifts(batch, scaled, of_letters, mass)
    descents = (scaled + shift[of_letters]).reshape(m, n_x)
    with np.errstate(all="ignore"):  # letters may be starved altogether, or lost
        laws = tables.p_x * tables.perception.ratio_at(descents)
    flow = forests.flows(np.concatenate([np.tile(tables.p_y, m), -laws.ravel()]))
    rows = -along[: m * n_y].reshape(m, n_y) - kap[:, None] * shift[of_rows].reshape(m, n_y)
    return _Best(forests, sign, -sign * flow, laws, rows, kap[:, None] * descents)


def _shifts(batch: _Batch, scaled: Array, tree: Indices, mass: Array) -> Array:
    """What to add to the descents of every tree's letters for their mass to be that of its observations."""
    tables, m = batch.tables, len(batch)
    perception, p, n_trees = tables.perception, np.tile(tables.p_x, m), len(mass)
    low, high = np.full(n_trees, -np.inf), np.full(n_trees, -np.inf)
    with np.errstate(all="ignore"):
        source = np.bincount(tree, p, n_trees)
        # no letter has more than all of the mass, and one of them has its share of it or more
        np.maximum.at(low, tree, perception.descent(mass[tree] / p) - scaled)
        np.maximum.at(high, tree, perception.descent((mass / source)[tree]) - scaled)
        near = np.bincount(tree, p * (perception.descent(batch.laws.ravel() / p) - scaled), n_trees)
        shift = np.clip(near / source, low, high)
        for _ in range(NEWTON_STEPS):
            ratio = perception.ratio_at(scaled + shift[tree])
            total = np.bincount(tree, p * ratio, n_trees)
            miss = np.where(mass > 0, np.log(total / mass), 0.0)  # observations without mass are alone
            low, high = np.where(miss > 0, shift, low), np.where(miss > 0, high, shift)
            if np.abs(miss).max() <= MISS:
                break
            fall = np.where(ratio > 0, p / perception.curvature(ratio), 0.0)
            ahead = shift + miss * total / np.bincount(tree, fall, n_trees)
            ahead = np.where((ahead > low) & (ahead < high), ahead, (low + high) / 2)
            shift = np.where(np.abs(miss) > MISS, ahead, shift)  # whatever the other trees are
    return np.where(mass > 0, shift, 0.0)


def _of_rows(batch: _Batch, mass: Array) -> Array:
    """Flows on pairs with every observation's own mass."""
    n_y = batch.tables.error.shape[0]
    row = batch.owner * n_y + batch.rows
    mass = np.where(np.bincount(row, mass)[row] > 0, mass, 1.0)
    return np.asarray(batch.tables.p_y[batch.rows] * mass / np.bincount(row, mass)[row])


def _attained(batch: _Batch, best: _Best, mass: Array) -> tuple[Array, Array]:
    """Laws q of couplings, and what the Lagrangian may be above that of the laws r that the potentials ask for.

    It is kap (p f(q/p) - p f(r/p) - f'(r/p) (q - r)) for every letter, and at most kap (f'(q/p) - f'(r/p)) (q - r),
    which rounds less where q is near r. Rounding of sums counts for nothing, but a letter whose mass hangs on the last
    digits of its potential does.
    """
    perception, p, kap, (m, n_x) = batch.tables.perception, batch.tables.p_x, batch.kap[:, None], best.laws.shape
    limit = perception.slope_at_infinity if np.isfinite(perception.slope_at_infinity) else 0.0
    laws = np.bincount(batch.owner * n_x + batch.columns, mass, m * n_x).reshape(m, n_x)
    away = laws - best.laws
    with np.errstate(all="ignore"):
        linear = (best.potentials - kap * perception.descent(laws / p)) * away
        rise = perception.generator((laws - p) / p) - perception.generator((best.laws - p) / p)
        bent = kap * p * rise + (best.potentials - kap * limit) * away
        over = np.where(away == 0, 0.0, np.maximum(np.fmin(linear, bent), 0.0))
    return np.asarray(laws, dtype=np.float64), np.asarray(over.sum(axis=1))


def _advance(batch: _Batch, best: _Best) -> tuple[Mask, Mask]:
    """Go towards the best flows as far as none turns negative: who arrived, and the pairs that end at zero."""
    toward = best.mass - batch.mass
    with np.errstate(all="ignore"):
        reach = np.where(best.mass < -NOISE, batch.mass / -toward, np.inf)
    least = np.minimum(batch.by_owner(reach), 1.0)
    there = batch.by_owner(best.mass) >= -NOISE
    dropped = (best.mass < -NOISE) & (reach <= least[batch.owner])
    batch.mass = np.where(dropped, 0.0, np.maximum(batch.mass + least[batch.owner] * toward, 0.0))
    return there, dropped


def _missing(batch: _Batch, best: _Best, there: Mask, goal: float) -> tuple[Array, Indices]:
    """Gap of the Lagrangian of those who arrived, and owner, row and column of pairs that miss most of it."""
    tables, tree = batch.tables, best.forests.tree
    n_y, n_x = tables.error.shape
    gap = np.full(len(batch), np.inf)
    entering: list[tuple[int, int, int]] = []
    table = np.empty(tables.error.shape)
    for k in np.flatnonzero(there).tolist():
        np.multiply(tables.distance, batch.lam[k], out=table)
        table += tables.error
        table -= best.potentials[k]
        nearest = table.argmin(axis=1)
        missing = tables.p_y * (best.rows[k] - table[np.arange(n_y), nearest])
        gap[k] = np.maximum(missing, 0.0).sum()
        if gap[k] > goal:
            rows = np.argsort(-missing)[:MOST_ENTERING]
            rows = rows[missing[rows] >= WORTHWHILE * missing[rows[0]]]
            columns = nearest[rows]
            ends = tree[k * n_y + rows].tolist(), tree[len(batch) * n_y + k * n_x + columns].tolist()
            pairs = zip(rows.tolist(), columns.tolist(), strict=True)
            entering += [(k, *pair) for pair, fits in zip(pairs, _compatible(*ends), strict=True) if fits]
    return gap, np.array(entering, dtype=np.intp).reshape(-1, 3).T


def _compatible(first: list[int], second: list[int]) -> Iterator[bool]:
    """Which of some pairs of trees may be joined at once: no circle of joints, and one circle within each tree."""
    joined: dict[int, int] = {}
    circles: set[int] = set()

    def root(tree: int) -> int:
        while tree in joined:
            tree = joined[tree]
        return tree

    for one, other in zip(first, second, strict=True):
        if one == other:
            fits = one not in circles
            circles.add(one)
        else:
            roots = root(one), root(other)
            fits = roots[0] != roots[1]
            if fits:
                joined[roots[0]] = roots[1]
        yield fits


def _exchange(batch: _Batch, best: _Best, entering: Indices, dropped: Mask) -> None:
    """Drop pairs and add others; a pair within a tree takes what goes around the circle that it closes."""
    n_y, n_x = batch.tables.error.shape
    tree = best.forests.tree
    owners, rows, columns = entering
    mass = np.zeros(len(owners))
    node, other = owners * n_y + rows, len(batch) * n_y + owners * n_x + columns
    within = tree[node] == tree[other]
    if within.any():
        surplus = np.zeros(len(tree))
        surplus[node[within]], surplus[other[within]] = -1.0, 1.0
        around = -best.sign * best.forests.flows(surplus)
        falls, home = around < -0.5, tree[batch.ends[0]]
        least = np.full(best.forests.n_trees, np.inf)
        np.minimum.at(least, home[falls], batch.mass[falls])
        mass[within] = least[tree[node[within]]]
        dropped = dropped | (falls & (batch.mass <= least[home]))
        batch.mass = batch.mass + np.where(np.isfinite(least), least, 0.0)[home] * around
    batch.keep(~dropped)
    batch.add(owners, rows, columns, mass)
