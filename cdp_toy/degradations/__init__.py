"""Degradations p(y | x): what is seen of X. One file for each kind."""

from __future__ import annotations

from cdp_toy.degradations.base import Degradation
from cdp_toy.degradations.erasure import Erasure
from cdp_toy.degradations.gaussian import AdditiveGaussian, Identity, LinearGaussian, blur, drop_coordinate
from cdp_toy.degradations.letters import DeterministicMap, TableDegradation, UniformQuantizer, binary_symmetric

__all__ = [
    "AdditiveGaussian",
    "Degradation",
    "DeterministicMap",
    "Erasure",
    "Identity",
    "LinearGaussian",
    "TableDegradation",
    "UniformQuantizer",
    "binary_symmetric",
    "blur",
    "drop_coordinate",
]
