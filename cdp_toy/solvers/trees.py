"""Many forests at once: flows that meet given masses, and potentials along edges, from leaf to leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from cdp_toy.validation import Array, Indices

__all__ = ["Forests", "heaviest_forest", "peeled"]


class Layer(NamedTuple):
    """Leaves that are taken off together, the nodes that they hang on, and the edges in between."""

    leaves: Indices
    parents: Indices
    edges: Indices


@dataclass(frozen=True, eq=False)
class Forests:
    """Forests taken apart from their leaves inwards.

    Attributes
    ----------
    layers : list of Layer
        The outermost leaves first; a parent is taken off later, or is a root.
    leaf : integer array of shape (n_edges,)
        The end of every edge that was taken off as a leaf.
    tree : integer array of shape (n_nodes,)
        Number of the tree that every node is in.
    n_trees : int
    """

    layers: list[Layer]
    leaf: Indices
    tree: Indices
    n_trees: int

    def flows(self, surplus: Array) -> Array:
        """Flow on every edge, from leaf to parent, that takes the surplus of nodes to where it lacks."""
        left, out = surplus.copy(), np.zeros(len(self.leaf))
        for leaves, parents, edges in self.layers:
            carried = left[leaves]
            out[edges] = carried
            np.add.at(left, parents, carried)
        return out

    def along(self, difference: Array) -> Array:
        """Values of nodes that differ along edges, leaf less parent, by `difference`, and are 0 at roots."""
        out = np.zeros(len(self.tree))
        for leaves, parents, edges in reversed(self.layers):
            out[leaves] = out[parents] + difference[edges]
        return out


def peeled(ends: Indices, n_nodes: int) -> Forests | None:
    """Take forests apart; None where there is a circle.

    Parameters
    ----------
    ends : integer array of shape (2, n_edges)
        Nodes of every edge.
    n_nodes : int
    """
    n_edges = ends.shape[1]
    degree = np.bincount(ends.ravel(), minlength=n_nodes)
    # the sum of the numbers of the edges at a node is the number of the last one when one is left
    last = np.bincount(ends.ravel(), weights=np.tile(np.arange(n_edges), 2), minlength=n_nodes).astype(np.intp)
    both = ends.sum(axis=0)
    layers: list[Layer] = []
    leaf: Indices = np.full(n_edges, -1, dtype=np.intp)
    place: Indices = np.empty(n_nodes, dtype=np.intp)
    leaves: Indices = np.flatnonzero(degree == 1)
    while len(leaves):
        edges = last[leaves]
        parents = both[edges] - leaves
        # of two leaves that hang on each other one is the root
        first = (degree[parents] > 1) | (leaves < parents)
        leaves, edges, parents = leaves[first], edges[first], parents[first]
        layers.append(Layer(leaves, parents, edges))
        leaf[edges] = leaves
        np.subtract.at(degree, parents, 1)
        np.subtract.at(last, parents, edges)
        fresh = parents[degree[parents] == 1]
        order = np.arange(len(fresh))
        place[fresh] = order
        leaves = fresh[place[fresh] == order]  # each once
    if np.any(leaf < 0):
        return None
    root: Indices = np.arange(n_nodes)
    for layer in reversed(layers):
        root[layer.leaves] = root[layer.parents]
    is_root = root == np.arange(n_nodes)
    return Forests(layers, leaf, (np.cumsum(is_root) - 1)[root], int(is_root.sum()))


def heaviest_forest(joint: csr_array) -> Indices | None:
    """Pairs row * n_x + column of a forest of pairs of most mass; None where it does not touch every letter.

    Parameters
    ----------
    joint : sparse array of shape (n_y, n_x)
        Joint law of observations and letters.
    """
    n_y, n_x = joint.shape
    entries = joint.tocoo()
    held = entries.data > 0
    (rows, columns), mass = (coordinates[held] for coordinates in entries.coords), entries.data[held]
    if len(np.unique(columns)) < n_x:
        return None
    weight = 1 - np.log(mass / mass.max())  # zeros would count as no edge
    graph = csr_array((weight, (rows, n_y + columns)), shape=(n_y + n_x, n_y + n_x))
    ends = np.stack(minimum_spanning_tree(graph).nonzero())
    return np.asarray(ends.min(axis=0) * n_x + ends.max(axis=0) - n_y)
