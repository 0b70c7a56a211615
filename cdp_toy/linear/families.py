"""The families of linear denoisers by the source of a problem: on the line or in the plane."""

from __future__ import annotations

from cdp_toy.errors import InputError, unknown_name
from cdp_toy.linear.line import LinearDenoiserFamily
from cdp_toy.linear.plane import FAMILIES, PlaneLinearFamily
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import PlaneSource

__all__ = ["linear_denoiser"]

#: where the optima search when nothing is said, on the line and in the plane
LINE_RANGE, PLANE_RANGE = (0.0, 4.0), (0.0, 2.0)


def linear_denoiser(
    problem: CDPProblem, a_range: tuple[float, float] | None = None, *, family: str = "scalar"
) -> LinearDenoiserFamily | PlaneLinearFamily:
    """The family of linear denoisers of a Gaussian-mixture problem, the restorations of the paper's toy figure.

    Parameters
    ----------
    problem : CDPProblem
        A Gaussian mixture in Gaussian noise with squared error; refusals are those of the two families.
    a_range : (low, high), optional
        Where the optima search each parameter; (0, 4) on the line and (0, 2) in the plane when left out.
    family : "scalar" or "diagonal"
        Xhat = a Y, or in the plane Xhat = F' diag(a1, a2) F Y, a scaling across and along the class boundary, and
        (a1, a2)' Y when one coordinate is observed.

    Returns
    -------
    LinearDenoiserFamily
        On the line.
    PlaneLinearFamily
        In the plane, with the same methods.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> least = linear_denoiser(presets.paper_toy()).least_perception()
    >>> print(f"{least.a:.8f} {least.perception:.12f}")
    0.80940644 0.006202278752
    >>> print(f"{linear_denoiser(presets.plane_toy()).distortion(1.0):.9f}")
    2.000000000
    """
    if isinstance(a_range, str):
        raise InputError(
            f"a_range must be two numbers low < high, got {a_range!r}; a family is given as family={a_range!r}"
        )
    if isinstance(problem, CDPProblem) and isinstance(problem.source, PlaneSource):
        return PlaneLinearFamily(problem, family, PLANE_RANGE if a_range is None else a_range)
    if family not in FAMILIES:
        raise unknown_name("family of linear denoisers", family, FAMILIES)
    if family != "scalar":
        raise InputError(f'the family "{family}" is one of the plane; on the line use family="scalar", Xhat = a Y')
    return LinearDenoiserFamily(problem, LINE_RANGE if a_range is None else a_range)
