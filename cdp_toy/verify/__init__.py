"""Verifier of enclosure certificates: every bound is derived again from the file, in ball arithmetic, by this package.

What has to be believed: Python's json, re and fractions; flint's arb, whose operations return balls that hold the true
result; and what follows. Nothing else of cdp_toy is used, and no number of a solver: duals and channels are hints.

*Setting* (model, laws). X given class c is a mixture of Gaussians of one std s, Y = X + N(0, noise^2), and the
classifier answers the rising class u where xhat > t. With joint weights f_k (other class) and u_k (class u) at the
distinct means m_1 < m_2 < ... the ratio u_k / f_k must not decrease in k (checked in rationals). Then r(y) = P(u|y)
does not decrease: given y the mixing laws stay in that order, and the derivative of log(u density / other density) is
the difference of their means over the variance of Y. mu(y) = E[X|y] has the derivative Var(X|y) / noise^2 > 0.
Integrals of Gaussians over cells are by parts.

*Upper bounds* (channel). Y in (s_{j-1}, s_j] is answered by Xhat drawn from p_X on (e_{j-1}, e_j], one e being t. With
q_j = P(Y in cell j), and p_j, m1_j, m2_j of X in output cell j,

    E(X - Xhat)^2 = E X^2 + sum q_j m2_j - 2 m1_j E[X; Y in cell j];

the density ratio is q_j / p_j on the cell, so the divergence is sum p_j f(q_j / p_j). Both are exact, as is the error.

*Lower bounds* (dual, divergences). For w, lam, kap >= 0, a potential v, a number c, and any channel of distortion <= D
and integral p_X f(q / p_X) <= P',

    w error >= int p_Y min_xhat [w e + lam d - v] - lam D + last,   last = kap (int p_X psi((v + c) / kap) - P') - c,

where psi(a) = inf_{r >= 0} f(r) + a r is concave and increasing, and a >= -f'(inf) everywhere, so that parts of the
output law without a density cost nothing. v is linear between nodes and constant from the outer nodes to the ends of
their side of t; the chord of psi between nodes lies below psi. kap = inf (P = 0, output law p_X): last = int p_X v;
kap = 0: last = min v. d = |x|^2 - 2 mu x + E[X^2|y]. With G_i(m) = inf over side i, closed at t, of
lam x^2 - 2 lam m x - v(x) the inner minimum is min(A, B), A = w r + G_0(mu), B = w (1 - r) + G_1(mu). G is concave: its
chord in m over a y-cell lies below it. A - B does not decrease, as G_0' - G_1' = 2 lam (x_1 - x_0) >= 0: left of the
crossing cell min(A, B) >= A - (A - B)^+ at that cell's left edge, right of it B - (B - A)^+ at its right edge, inside
either one with its other edge. Beyond the outer y-edges the inner minimum is >= -lam mu^2 - max v, and
E[mu^2; tail] <= E[X^2; tail].

*Claims.* error_rate: w = 1. min_distortion: w = 0, lam = 1, D = 0. flat_distortion (channels whose error is the
floor): lam = 1, D = 0, less w times the floor. infeasible: w = 0 and a bound above 0. The floor, the Bayes error of Y,
is the error of answering u where r >= 1/2; it bounds the error rate, and 0 every distortion, where there is no dual.

*Verdicts.* VERIFIED: proven. REFUTED: the file can be read, but a condition on its numbers is provably false, or what
it proves provably falls short of its claim. CANNOT DECIDE: unreadable, too large, outside the setting, evidence
missing, or undecided with the most bits. Exit code 1 if any file is refuted, else 2 if any cannot be decided, else 0.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from flint import arb, ctx

from cdp_toy.verify.channel import channel_values
from cdp_toy.verify.dual import lagrangian
from cdp_toy.verify.exact import (
    REFUTED,
    UNDECIDED,
    VERIFIED,
    ZERO,
    NotProven,
    ball,
    bare,
    brief,
    compare,
    demand,
    fields,
    level,
    need,
    number,
    unique,
    whole,
)
from cdp_toy.verify.laws import floor
from cdp_toy.verify.model import read_problem

__all__ = ["CLAIMS", "NotProven", "Report", "bayes_error", "enclosures", "lower_bound", "main", "upper_bound"]
__all__ += ["verify", "verify_file", "verify_text"]

#: what a claim of each kind is about, {D} and {P} being the levels of the file
CLAIMS = {
    "error_rate": "the least error rate of channels with distortion <= {D} and perception <= {P}",
    "min_distortion": "the least distortion of channels with perception <= {P}",
    "flat_distortion": "the least distortion of channels with perception <= {P} and the Bayes error of Y",
    "infeasible": "no channel has distortion <= {D} and perception <= {P}",
}
BITS = (128, 256, 512)
MOST_BYTES = 32 << 20
CERTIFICATE = ("format", "version", "problem", "max_distortion", "max_perception", "claim", "channel", "dual")


@dataclass(frozen=True)
class Report:
    """Verdict on a certificate, the reason (where VERIFIED the statement), and balls of what could be derived."""

    verdict: str
    reason: str
    enclosures: dict[str, arb] = field(default_factory=dict)


def bayes_error(problem: object, bits: int = BITS[0]) -> arb:
    """Ball of the floor C(inf, inf), the Bayes error of Y.

    Parameters
    ----------
    problem : dict
        The problem of a certificate.
    bits : int
        Precision of the balls.

    Raises
    ------
    NotProven
        When the problem is ill-posed or outside the setting.

    Examples
    --------
    >>> toy = dict(priors=["7/10", "3/10"], means=[["-1"], ["1"]], weights=[["1"], ["1"]], stds=[["1"], ["1"]],
    ...            noise_std="1", threshold="bayes", classes=[0, 1], perception="kl")
    >>> print(f"{float(bayes_error(toy)):.12f}")
    0.204117333467
    """
    with ctx.workprec(bits):
        return floor(read_problem(problem))


def lower_bound(problem: object, dual: object, D: object, P: object, bits: int = BITS[0]) -> arb:
    """Ball of the dual bound Lag(w, lam, kap, v; D, P); its lower end is proven, whatever the dual.

    Parameters
    ----------
    problem, dual : dict
        Of a certificate; the dual may hold floats and Fractions instead of strings.
    D, P : str, float or Fraction
        Levels [squared units of x; units of the divergence]; "inf" or inf drops one, D = 0 for a least distortion.
    bits : int
        Precision of the balls.

    Returns
    -------
    arb
        Bound of w times the error rate; -inf where a price belongs to a level that is dropped.

    Raises
    ------
    NotProven
        When the problem or the dual is ill-posed, or outside the setting.
    """
    with ctx.workprec(bits):
        return lagrangian(read_problem(problem), dual, level(D, "D"), level(P, "P"))


def upper_bound(problem: object, channel: object, bits: int = BITS[0]) -> tuple[arb, arb, arb]:
    """Balls of the error rate, the distortion and the perception of a channel.

    Parameters
    ----------
    problem, channel : dict
        Of a certificate; the channel may hold floats instead of strings.
    bits : int
        Precision of the balls.

    Raises
    ------
    NotProven
        When the problem or the channel is ill-posed, or outside the setting.
    """
    with ctx.workprec(bits):
        return channel_values(read_problem(problem), channel)[:3]


def enclosures(certificate: object, bits: int = BITS[0]) -> dict[str, arb]:
    """Balls of all that the evidence of a certificate proves, whatever ends it claims.

    Parameters
    ----------
    certificate : dict
        As its JSON holds it; the ends of its claim are not looked at.
    bits : int
        Precision of the balls.

    Returns
    -------
    dict of arb
        "lower" and, with a channel, "upper" of the quantity; "floor"; the channel's "error_rate", "distortion"
        and "perception".

    Raises
    ------
    NotProven
        When a condition fails, such as a channel that violates a level.
    """
    given = fields(certificate, CERTIFICATE, "certificate")
    known = given["format"] == "cdp_toy enclosure" and type(given["version"]) is int and given["version"] == 1
    need(known, "not a cdp_toy enclosure of version 1")
    kind = fields(given["claim"], ("quantity", "lower", "upper"), "claim")["quantity"]
    need(isinstance(kind, str) and kind in CLAIMS, f"unknown quantity {brief(kind)}")
    of_distortion = kind in ("min_distortion", "flat_distortion")
    need(not of_distortion or given["max_distortion"] is None, f"max_distortion must be null for {kind}")
    most_d = Fraction(0) if of_distortion else level(given["max_distortion"], "max_distortion")
    most_p = level(given["max_perception"], "max_perception")
    with ctx.workprec(bits):
        model, dual, channel = read_problem(given["problem"]), given["dual"], given["channel"]
        balls = {"floor": floor(model)} if kind in ("error_rate", "flat_distortion") else {}
        if dual is None:
            need(kind != "infeasible", "a claim of infeasibility needs a dual")
            balls["lower"] = ZERO if of_distortion else balls["floor"]
        else:
            balls["lower"] = lagrangian(model, dual, most_d, most_p)
            w, lam = number(dual["error_weight"], "error_weight"), number(dual["price_distortion"], "price_distortion")
            needed = {"error_rate": 1, "flat_distortion": w}.get(kind, 0)
            demand(w == needed, f"the error weight of {kind} must be {needed}")
            demand(not of_distortion or lam == 1, f"the price of distortion of {kind} must be 1")
            if kind == "flat_distortion":
                balls["lower"] -= ball(w) * balls["floor"]
        if kind == "infeasible":
            need(channel is None, "a claim of infeasibility holds no channel")
            compare(ZERO, balls["lower"], "the dual does not prove infeasibility: its bound is {1}", strict=True)
        elif channel is not None:
            error, distortion, perception, exact = channel_values(model, channel)
            balls |= {"error_rate": error, "distortion": distortion, "perception": perception}
            balls["upper"] = distortion if of_distortion else error
            if most_p != math.inf:
                compare(perception, ball(most_p), "the channel's perception {0} exceeds max_perception")
            if not of_distortion and most_d != math.inf:
                compare(distortion, ball(most_d), "the channel's distortion {0} exceeds max_distortion")
            if kind == "flat_distortion" and not exact:
                compare(error, balls["floor"], "the channel's error rate {0} exceeds the Bayes error of Y")
    return balls


def verify(certificate: object) -> Report:
    """Judge a certificate, given as the object that its JSON holds."""
    for bits in BITS:
        balls: dict[str, arb] = {}
        try:
            balls = enclosures(certificate, bits)
            with ctx.workprec(bits):
                return Report(VERIFIED, statement(certificate, balls), balls)
        except NotProven as refusal:
            if not refusal.more_bits or bits == BITS[-1]:
                return Report(refusal.verdict, str(refusal), balls)
        except (ArithmeticError, MemoryError) as failure:
            return Report(UNDECIDED, f"the numbers are out of reach ({type(failure).__name__})")
    raise AssertionError("the last precision returns")


def statement(certificate: Any, balls: dict[str, arb]) -> str:
    """The claim in words, after its ends were compared with what was derived."""
    claim, problem = certificate["claim"], certificate["problem"]
    kind, lower, upper = claim["quantity"], claim["lower"], claim["upper"]
    need((kind == "infeasible") == (lower is None and upper is None), f"claim: these are no ends of {kind}")
    if lower is not None:
        compare(ball(number(lower, "lower")), balls["lower"], "the lower end {} is not proven, only {}")
    if upper is not None:
        need("upper" in balls, "an upper end is claimed without a channel")
        compare(balls["upper"], ball(number(upper, "upper")), "only the upper end {} is proven, not {}")
    low, high = (None if end is None else float(number(end, "claim")) for end in (lower, upper))
    words = CLAIMS[kind].format(D=brief(certificate["max_distortion"]), P=brief(certificate["max_perception"]))
    if low is not None and high is not None:
        words += f" is in [{low!r}, {high!r}], width {high - low:.1e}"
    elif kind != "infeasible":
        words += f" is at least {low!r}" if high is None else f" is at most {high!r}"
    model, below, above = read_problem(problem), "", ""
    for mean, (other, rising) in zip(model.means, model.weights, strict=True):
        below += f" + {other} at {mean}" if other else ""
        above += f" + {rising} at {mean}" if rising else ""
    law = f"{below[3:]} | {above[3:]}" if len(below + above) < 100 else f"{len(model.means)} means"
    stds = f"stds {brief(problem['stds'][0][0])} and {brief(problem['noise_std'])}"
    return f"{words} ({model.perception}; X {law}; {stds}; threshold {brief(problem['threshold'])})"


def verify_text(text: str) -> Report:
    """Judge a certificate, given as JSON."""
    try:
        parsed = json.loads(text, object_pairs_hook=unique, parse_float=bare, parse_constant=bare, parse_int=whole)
    except NotProven as refusal:
        return Report(refusal.verdict, str(refusal))
    except RecursionError:
        return Report(UNDECIDED, "no certificate: nested too deeply")
    except (ValueError, MemoryError) as failure:
        return Report(UNDECIDED, f"no JSON: {failure}")
    return verify(parsed)


def verify_file(path: str | os.PathLike[str]) -> Report:
    """Judge a certificate file; nothing else is opened, and nothing in it is run."""
    try:
        about = os.stat(path)
        need(stat.S_ISREG(about.st_mode), "not a regular file")
        need(about.st_size <= MOST_BYTES, f"larger than {MOST_BYTES >> 20} MiB")
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        need(len(data) <= MOST_BYTES, f"larger than {MOST_BYTES >> 20} MiB")
        return verify_text(data.decode("utf-8"))
    except OSError as failure:
        return Report(UNDECIDED, f"cannot be read: {failure.strerror or failure}")
    except ValueError as failure:  # NotProven, a path with a null byte, or no UTF-8
        return Report(UNDECIDED, str(failure) if isinstance(failure, NotProven) else "not a UTF-8 text")


def main(paths: Sequence[str] | None = None) -> int:
    """Print one line per file; return 1 if any is refuted, else 2 if any cannot be decided, else 0."""
    paths = sys.argv[1:] if paths is None else paths
    if not paths:
        print("usage: python -m cdp_toy.verify FILE...", file=sys.stderr)
        return 2
    verdicts = set()
    for path in paths:
        report = verify_file(path)
        shown = path if path.isascii() and path.isprintable() else ascii(path)
        print(f"{report.verdict} {shown}: {report.reason}", flush=True)
        verdicts.add(report.verdict)
    return 1 if REFUTED in verdicts else 2 if UNDECIDED in verdicts else 0
