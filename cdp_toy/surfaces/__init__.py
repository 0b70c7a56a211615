"""A traced surface: the hull of what is attained above the envelope of what is proven."""

from cdp_toy.surfaces.curves import Curve
from cdp_toy.surfaces.surface import MixedPoint, Slice, Surface

__all__ = ["Curve", "MixedPoint", "Slice", "Surface"]
