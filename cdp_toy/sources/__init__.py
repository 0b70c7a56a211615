"""Sources: what X is, class by class, with exact integrals over cells. One file each."""

from __future__ import annotations

from cdp_toy.sources.base import CellIntegrals, LineMixture, LineSource, Source
from cdp_toy.sources.covariances import checked_covariance
from cdp_toy.sources.density import DensitySource
from cdp_toy.sources.gaussian import Component, GaussianMixture
from cdp_toy.sources.gaussian_2d import Component2D, GaussianMixture2D
from cdp_toy.sources.histogram import Histogram, Histogram2D, histogram_source
from cdp_toy.sources.independent import IndependentPair
from cdp_toy.sources.laplace import LaplaceMixture
from cdp_toy.sources.plane import PlaneSource, SeparableSource
from cdp_toy.sources.table import TableSource
from cdp_toy.sources.uniform import UniformMixture

__all__ = [
    "CellIntegrals",
    "Component",
    "Component2D",
    "DensitySource",
    "GaussianMixture",
    "GaussianMixture2D",
    "Histogram",
    "Histogram2D",
    "IndependentPair",
    "LaplaceMixture",
    "LineMixture",
    "LineSource",
    "PlaneSource",
    "SeparableSource",
    "Source",
    "TableSource",
    "UniformMixture",
    "checked_covariance",
    "histogram_source",
]
