"""Upper bounds: error rate, distortion and perception of a channel."""

from __future__ import annotations

from fractions import Fraction

from flint import arb

from cdp_toy.verify.divergences import divergence
from cdp_toy.verify.exact import ZERO, ascending, compare, demand, fields, floats, index, listed, need
from cdp_toy.verify.laws import Law, decision, error_above, matched, threshold
from cdp_toy.verify.model import Model


def channel_values(model: Model, channel: object) -> tuple[arb, arb, arb, bool]:
    """Error rate, distortion, perception, and whether the switch of class lies at the Bayes decision exactly."""
    quantile = isinstance(channel, dict) and "quantile" in channel
    keys = ("quantile", "threshold_index") if quantile else ("edges", "threshold_index", "map")
    given = fields(channel, keys, "channel")
    inner = floats(given[keys[0]], keys[0])
    demand(ascending(inner), "the output edges do not increase")
    at = index(given["threshold_index"], "threshold_index", len(inner) + 1)
    t, law, observed = threshold(model), Law(model, Fraction(0)), Law(model, model.noise)
    points = [*map(arb, inner[:at]), t, *map(arb, inner[at:])]
    in_order_around(points, at, "the threshold does not lie at its place among the output edges", strict=True)
    edges = [law.start, *map(law.at, points), law.end]
    stops, exact = (
        ([matched(law, observed, edge) for edge in edges[1:-1]], False) if quantile else _map(model, given, at)
    )
    cuts = [observed.start, *map(observed.at, stops), observed.end]

    formulas, total, distortion = divergence(model.perception), ZERO, law.cell(law.start, law.end)[3]
    for k in range(len(edges) - 1):
        mass, _, first, second = law.cell(edges[k], edges[k + 1])
        if 0 < k < len(stops) and stops[k - 1] == stops[k]:  # both exact and equal: nothing comes here
            total += mass * formulas.at_zero
            continue
        share, _, moment, _ = observed.cell(cuts[k], cuts[k + 1])
        distortion += (share * second - 2 * first * moment) / mass
        if not quantile:
            total += formulas.cell(mass, share)
    perception = ZERO if quantile else formulas.of_sum(total)
    return error_above(observed, cuts[at + 1]), distortion, perception, exact


def _map(model: Model, given: dict[str, object], at: int) -> tuple[list[arb], bool]:
    """The points of y where the map goes on to the next output cell; the one of the threshold may be the decision."""
    steps = listed(given["map"], "map")
    need(len(steps) == len(listed(given["edges"], "edges")) + 1, "map: one entry per output edge, the threshold's too")
    exact = isinstance(steps[at], str) and steps[at] == "decision"
    finite = floats([*steps[:at], *steps[at + exact :]], "map")
    demand(ascending(finite, strict=False), "the map decreases")
    stops = [arb(y) for y in finite]
    if exact:
        stops.insert(at, decision(model, model.variance + model.noise))
        in_order_around(stops, at, "the map decreases at the decision point")
    return stops, exact


def in_order_around(points: list[arb], at: int, message: str, strict: bool = False) -> None:
    """Demand that a point lies between its neighbours."""
    for k in range(max(at, 1), min(at + 2, len(points))):
        compare(points[k - 1], points[k], message, strict)
