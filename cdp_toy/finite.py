"""The finite problem that solvers see: laws of Y and X, low-rank costs, a perception."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.cells import Cells, LineCells
from cdp_toy.costs import ClassCost, Cost
from cdp_toy.distortions import Distortion, distortion_from
from cdp_toy.errors import InputError
from cdp_toy.perceptions import Letters, Perception, perception_from
from cdp_toy.problem import check_classes, checked_class_cost
from cdp_toy.sources import Source
from cdp_toy.validation import Array, Indices, check_probabilities, finite_array, refuse_if_too_large

__all__ = ["DiscreteProblem", "Grid"]

#: Least positive probability of a letter of x: divergences form q^2/p.
LEAST_MASS = 1e-150


class Grid(NamedTuple):
    """Where the letters of a discretized problem come from."""

    source: Source
    x_cells: Cells
    y_cells: Cells

    @property
    def x_edges(self) -> Array:
        """Cell edges of x on the line."""
        return _edges(self.x_cells)

    @property
    def y_edges(self) -> Array:
        """Cell edges of y on the line."""
        return _edges(self.y_cells)


def _edges(cells: Cells) -> Array:
    if not isinstance(cells, LineCells):
        raise InputError(f"{type(cells).__name__} are no intervals of the line and have no single row of edges")
    return cells.edges


@dataclass(frozen=True, eq=False)
class DiscreteProblem:
    """Finite CDP problem; make one with `CDPProblem.discretize` or `DiscreteProblem.from_tables`.

    Attributes
    ----------
    p_y : array of shape (n_y,)
        Observation law.
    p_x : array of shape (n_x,)
        Source law on the output alphabet, the reference of the perception.
    posterior : array of shape (n_y, K)
        P(class | y).
    error_cost : ClassCost
        Expected class cost of a pair (y, xhat), kept as K columns.
    distortion_cost : Cost
        Expected distortion of a pair (y, xhat) [squared units of x for squared error].
    perception : Perception
        On the letters of this problem.
    x_values : array of shape (n_x, dim) or None
        Place of the output letters; means of cells on a grid.
    kind : "cells", "points" or "tables"
        On "cells" an output letter stands for the source conditioned to its cell; otherwise for itself.
    grid : Grid or None
        Cells and source, for sampling and plotting; None for a problem that was given by tables.
    continuous_bound : bool
        Whether values are upper bounds of the continuous problem: on "cells", when every integral and the classifier's
        boundaries are known and not estimated.
    integration_error : float
        Largest estimated absolute error of a cell's probability or of a class share in a cell; 0 for closed forms.
    """

    p_y: Array
    p_x: Array
    posterior: Array
    error_cost: ClassCost
    distortion_cost: Cost
    perception: Perception
    x_values: Array | None = None
    kind: Literal["cells", "points", "tables"] = "tables"
    grid: Grid | None = None
    name: str = ""
    continuous_bound: bool = False
    integration_error: float = 0.0

    def __post_init__(self) -> None:
        for array in (self.p_y, self.p_x, self.posterior, self.x_values):
            if array is not None:
                array.setflags(write=False)

    @property
    def n_y(self) -> int:
        """Number of observation letters."""
        return len(self.p_y)

    @property
    def n_x(self) -> int:
        """Number of output letters."""
        return len(self.p_x)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_y, n_xhat) of a restoration channel."""
        return self.n_y, self.n_x

    @property
    def classes(self) -> Indices:
        """Predefined class of every output letter (the most likely one in a cell that is cut), shape (n_x,)."""
        return np.asarray(np.argmax(self.error_cost.decision, axis=1))

    @property
    def error_floor(self) -> float:
        """Least error rate over all channels when neither level binds: sum_y p_Y min_xhat e."""
        return float(self.p_y @ self.error_cost.profile_cost.min(axis=1))

    def __repr__(self) -> str:
        title = f" {self.name!r}" if self.name else ""
        return f"<DiscreteProblem{title}: {self.n_y} x {self.n_x} {self.kind}, {self.perception.name}>"

    @classmethod
    def from_tables(
        cls,
        priors: ArrayLike,
        p_x_given_class: ArrayLike,
        p_y_given_x: ArrayLike,
        classifier: Sequence[int] | Array,
        distortion: str | ArrayLike | Distortion = "squared_error",
        perception: str | Perception = "kl",
        x_values: ArrayLike | None = None,
        class_cost: ArrayLike | None = None,
        name: str = "",
    ) -> DiscreteProblem:
        """Build a finite problem from its probability tables.

        Parameters
        ----------
        priors : array of shape (K,)
        p_x_given_class : array of shape (K, n_x)
        p_y_given_x : array of shape (n_x, n_y)
        classifier : (n_x,) class indices
            Predefined class of every output letter.
        distortion : "squared_error", "hamming" or array of shape (n_x, n_x)
            Rows x, columns xhat.
        perception : str
        x_values : array of shape (n_x,) or (n_x, dim), optional
            Needed by squared error and by the perceptions w1 and w2_squared [units of x].
        class_cost : array of shape (K, K), optional
            0-1 error when left out.

        Raises
        ------
        InputError
            When probabilities do not sum to one or are negative, or shapes disagree (the message says which).

        Examples
        --------
        >>> problem = DiscreteProblem.from_tables(
        ...     priors=[0.5, 0.5],
        ...     p_x_given_class=[[1.0, 0.0], [0.0, 1.0]],
        ...     p_y_given_x=[[0.9, 0.1], [0.1, 0.9]],
        ...     classifier=[0, 1],
        ...     distortion="hamming",
        ... )
        >>> round(problem.error_floor, 12)
        0.1
        """
        prior = check_probabilities(priors, "priors", 1)
        x_table = check_probabilities(p_x_given_class, "p_x_given_class", 2)
        y_table = check_probabilities(p_y_given_x, "p_y_given_x", 2)
        n_classes, n_x, n_y = len(prior), x_table.shape[1], y_table.shape[1]
        if len(x_table) != n_classes:
            raise InputError(
                f"p_x_given_class has {len(x_table)} rows, priors has {n_classes} entries; they must agree"
            )
        if len(y_table) != n_x:
            raise InputError(
                f"p_y_given_x has {len(y_table)} rows, p_x_given_class has {n_x} columns; both count the letters of x"
            )
        refuse_if_too_large(8.0 * 4 * n_x * n_y, f"tables of {n_x} x {n_y} letters", "Use fewer letters.")
        classes = np.asarray(classifier)
        if classes.shape != (n_x,):
            raise InputError(f"classifier has shape {classes.shape}; expected ({n_x},), one class per output letter")
        check_classes(classes, n_classes)
        values = None
        if x_values is not None:
            values = finite_array(x_values, "x_values")
            if values.ndim not in (1, 2) or len(values) != n_x:
                raise InputError(f"x_values has shape {values.shape}; expected ({n_x},) or ({n_x}, dim)")
            values = values.reshape(n_x, -1)

        joint_class_x = prior[:, None] * x_table
        p_x = joint_class_x.sum(axis=0)
        denormal = np.flatnonzero((p_x > 0) & (p_x < LEAST_MASS))
        if len(denormal):
            raise InputError(
                f"letter {int(denormal[0])} of x has probability {p_x[denormal[0]]:.3g}: below {LEAST_MASS:g} its "
                "square is lost in double precision; set it to 0 or merge the letter with another"
            )
        joint_class_y = joint_class_x @ y_table
        p_y = joint_class_y.sum(axis=0)
        seen = p_y > 0
        posterior = np.where(seen, joint_class_y / np.where(seen, p_y, 1.0), prior[:, None]).T
        p_x_given_y = np.where(seen[:, None], (p_x[:, None] * y_table / np.where(seen, p_y, 1.0)).T, p_x[None, :])
        cost = checked_class_cost(None if class_cost is None else np.asarray(class_cost, float), n_classes)
        return cls(
            p_y=p_y,
            p_x=p_x,
            posterior=posterior,
            error_cost=ClassCost(posterior @ cost, np.eye(n_classes)[classes.astype(int)]),
            distortion_cost=distortion_from(distortion).letters_cost(p_x_given_y, values),
            perception=perception_from(perception).bound_to(None if values is None else Letters(values, np.zeros(n_x))),
            x_values=values,
            name=name,
        )
