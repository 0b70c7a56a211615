"""Bounds of the continuous problem on the line, of Gaussian mixtures in Gaussian noise under squared error.

    model        the integrals that everything is made of
    conditions   when optimal restorations are monotone maps, and refusals that say why not
    grids        cells of the output and of the observation
    upper        what a monotone map achieves, exactly
    lower        what prices and a potential prove, for any classifier with known boundaries
    envelope     the inner minimisation of the lower bound
    duals        from potentials on output cells to what lower bounds rest on

Maps and potentials come from `cdp_toy.solvers.monotone`; nothing here trusts them.
"""

from __future__ import annotations
