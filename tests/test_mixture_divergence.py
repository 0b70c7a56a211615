"""Divergence between Gaussian mixtures: closed forms, tails, and a divergence that nobody has written a file for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import PERCEPTIONS
from scipy.integrate import quad

from cdp_toy.linear.line_divergence import Mixture, mixture_divergence
from cdp_toy.perceptions import FDivergence, perception_from

catalogue = pytest.mark.parametrize("name", PERCEPTIONS)
P = Mixture(np.array([0.25, 0.75]), np.array([-1.0, 2.0]), np.array([1.0, 0.25]))
Q = Mixture(np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, -2.0]), np.array([0.8, 0.64, 0.9]))


def normal(mean: float, variance: float) -> Mixture:
    return Mixture(np.ones(1), np.array([mean]), np.array([variance]))


class Triangular(FDivergence):
    """sum (p - q)^2 / (p + q), with nothing but what the base class demands."""

    name = "triangular"
    slope_at_infinity = 1.0

    def generator(self, x):
        return x**2 / (2 + x)

    def conic(self, cp, ratio):
        raise NotImplementedError

    def _dual(self, p, potential, level):
        raise NotImplementedError


def test_a_new_divergence_needs_only_its_generator() -> None:
    def term(x: float) -> float:
        p, q = (math.exp(law.log_density(np.array([x]))[0]) for law in (P, Q))
        return (p - q) ** 2 / (p + q)

    expected = sum(quad(term, k, k + 1, epsabs=1e-14)[0] for k in range(-12, 12))
    found = mixture_divergence(Triangular(), P, Q)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.error < 1e-13


@catalogue
def test_log_integrand_is_p_times_the_generator(name: str) -> None:
    p, q = np.random.default_rng(1).uniform(0.01, 2, (2, 200))
    # p f(q/p) is a divergence's integrand for any affine change of f, so f itself must agree, not only the integral
    expected = p * perception_from(name).generator(q / p - 1)
    np.testing.assert_allclose(
        perception_from(name).log_integrand(np.log(p), np.log(q)), expected, rtol=1e-11, atol=1e-14
    )
    default = FDivergence.log_integrand(perception_from(name), np.log(p), np.log(q))
    np.testing.assert_allclose(default, expected, rtol=1e-11, atol=1e-14)


@catalogue
def test_log_integrand_in_the_tails(name: str) -> None:
    # far apart, p f(q/p) is p f(0) or q lim f(r)/r where these are finite
    divergence = perception_from(name)
    near, far = np.array([-1.0]), np.array([-5000.0])
    with np.errstate(all="ignore"):
        at_zero = float(divergence.generator(np.array(-1.0)))
        lost, gained = divergence.log_integrand(near, far)[0], divergence.log_integrand(far, near)[0]
    assert lost == pytest.approx(at_zero * math.exp(-1)) if math.isfinite(at_zero) else lost > 1000
    slope = divergence.slope_at_infinity
    assert gained == pytest.approx(slope * math.exp(-1)) if math.isfinite(slope) else gained > 1000


@catalogue
def test_equal_laws_have_divergence_zero_and_singular_laws_the_largest(name: str) -> None:
    divergence = perception_from(name)
    assert mixture_divergence(divergence, P, P).value == 0
    assert mixture_divergence(divergence, P, P.scaled(0.0)).value >= mixture_divergence(divergence, P, Q).value
    assert mixture_divergence(divergence, P, P.scaled(0.0)).error == 0


def test_gaussians_in_closed_form() -> None:
    mean, p, q = 1.5, 0.7, 0.9
    overlap = math.sqrt(2 * math.sqrt(p * q) / (p + q)) * math.exp(-(mean**2) / (4 * (p + q)))
    wide = 2 * q - p  # integral of p^2/q: a Gaussian of precision 2/p - 1/q
    chi2 = q / math.sqrt(p * wide) * math.exp(mean**2 / wide) - 1
    for name, expected in {
        "kl": 0.5 * (p / q - 1 - math.log(p / q) + mean**2 / q),
        "reverse_kl": 0.5 * (q / p - 1 - math.log(q / p) + mean**2 / p),
        "hellinger_squared": 1 - overlap,
        "chi2": chi2,
    }.items():
        found = mixture_divergence(perception_from(name), normal(0.0, p), normal(mean, q))
        assert found.value == pytest.approx(expected, rel=1e-13)
    equal = mixture_divergence(perception_from("tv"), normal(0.0, p), normal(mean, p)).value
    assert equal == pytest.approx(math.erf(mean / math.sqrt(8 * p)), abs=1e-14)


@pytest.mark.parametrize("name", [name for name in PERCEPTIONS if perception_from(name).tail_powers])
def test_tails_that_decay_no_more(name: str) -> None:
    divergence = perception_from(name)
    a, b = divergence.tail_powers
    assert a + b == 1
    limit = -b / a  # variance of q at which a/var_p + b/var_q = 0, for var_p = 1
    inside = 1.01 if a > 0 else 0.99
    assert mixture_divergence(divergence, normal(0.3, 1.0), normal(0.0, limit)).value == math.inf
    assert mixture_divergence(divergence, normal(0.3, 1.0), normal(0.0, limit / inside)).value == math.inf
    assert math.isfinite(mixture_divergence(divergence, normal(0.03, 1.0), normal(0.0, limit * inside)).value)
