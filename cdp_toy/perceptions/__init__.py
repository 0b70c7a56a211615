"""Perceptions: how far the output law may be from the source law. One file each; the catalogue is the list below."""

from __future__ import annotations

from cdp_toy.errors import InputError, unknown_name
from cdp_toy.perceptions.base import DualTerm, FDivergence, Letters, Moves, Perception
from cdp_toy.perceptions.chi2 import Chi2
from cdp_toy.perceptions.hellinger_squared import HellingerSquared
from cdp_toy.perceptions.js import JensenShannon
from cdp_toy.perceptions.kl import KL
from cdp_toy.perceptions.renyi import Renyi
from cdp_toy.perceptions.reverse_chi2 import ReverseChi2
from cdp_toy.perceptions.reverse_kl import ReverseKL
from cdp_toy.perceptions.tv import TotalVariation
from cdp_toy.perceptions.wasserstein import Wasserstein1, Wasserstein2Squared

__all__ = [
    "CATALOGUE",
    "NAMES",
    "DualTerm",
    "FDivergence",
    "Letters",
    "Moves",
    "Perception",
    "Renyi",
    "perception_from",
]

#: every perception that has a name of its own
CATALOGUE: dict[str, Perception] = {
    perception.name: perception
    for perception in (
        KL(),
        ReverseKL(),
        TotalVariation(),
        HellingerSquared(),
        Chi2(),
        ReverseChi2(),
        JensenShannon(),
        Wasserstein1(),
        Wasserstein2Squared(),
    )
}
#: what a perception may be called
NAMES = (*CATALOGUE, "renyi:ORDER")


def perception_from(perception: str | Perception) -> Perception:
    """Return the perception of a name (or the object itself).

    >>> perception_from("tv"), perception_from("renyi:2")
    (<perception tv>, <perception renyi:2>)
    """
    if isinstance(perception, Perception):
        return perception
    if isinstance(perception, str) and perception in CATALOGUE:
        return CATALOGUE[perception]
    if isinstance(perception, str) and perception.split(":")[0] == "renyi":
        return Renyi(_order(perception))
    raise unknown_name("perception", perception, NAMES)


def _order(name: str) -> float:
    """The order in a name such as renyi:2."""
    word = name.removeprefix("renyi").removeprefix(":")
    try:
        return float(word)
    except ValueError:
        raise InputError(f"perception {name!r} names no order; write it like renyi:2 or renyi:0.5") from None
