"""Perceptions: how far the output law may be from the source law. One file each; the catalogue is the list below."""

from __future__ import annotations

from cdp_toy.errors import unknown_name
from cdp_toy.perceptions.base import DualTerm, FDivergence
from cdp_toy.perceptions.chi2 import Chi2
from cdp_toy.perceptions.hellinger_squared import HellingerSquared
from cdp_toy.perceptions.js import JensenShannon
from cdp_toy.perceptions.kl import KL
from cdp_toy.perceptions.reverse_chi2 import ReverseChi2
from cdp_toy.perceptions.reverse_kl import ReverseKL
from cdp_toy.perceptions.tv import TotalVariation

__all__ = ["CATALOGUE", "DualTerm", "FDivergence", "perception_from"]

#: every divergence that can be asked for by name
CATALOGUE: dict[str, FDivergence] = {
    divergence.name: divergence
    for divergence in (KL(), ReverseKL(), TotalVariation(), HellingerSquared(), Chi2(), ReverseChi2(), JensenShannon())
}


def perception_from(perception: str | FDivergence) -> FDivergence:
    """Return the perception of a name (or the object itself).

    >>> perception_from("tv")
    <perception tv>
    """
    if isinstance(perception, FDivergence):
        return perception
    if not isinstance(perception, str) or perception not in CATALOGUE:
        raise unknown_name("perception", perception, CATALOGUE)
    return CATALOGUE[perception]
