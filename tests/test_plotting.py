"""Pictures of traced surfaces: what the artists hold, what the pixels show, what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

import cdp_toy as cdp
from cdp_toy import plotting
from cdp_toy.plotting.boundary import regions
from cdp_toy.plotting.certificates import both_active, outline
from cdp_toy.plotting.frame import axis_labels
from cdp_toy.plotting.mesh import curve_levels, first_finite, is_logarithmic, surface_mesh
from cdp_toy.plotting.slices import slice_where_known
from cdp_toy.point import Bracket, Point, Prices, Status

Array = np.ndarray


def least(p: Any) -> Any:
    return 0.5 - p / 2 + p * p / 8


class Corner:
    """Feasible where D >= D_min(P) = 1/2 - P/2 + P^2/8; there C = 1 / (1 + D - D_min(P))."""

    def __call__(self, d: float, p: float) -> Point:
        if d < least(p):
            return Point(Status.INFEASIBLE, "formula", math.inf, math.inf, *[math.nan] * 3, d, p, 0.0, 0.0)
        over = 1 + d - least(p)
        prices = (over**-2, (0.5 - p / 4) * over**-2)
        return Point(Status.OPTIMAL, "formula", 1 / over, 1 / over, 1 / over, d, p, d, p, *prices)

    def min_distortion(self, p: float) -> Bracket:
        return Bracket(least(p), least(p), None, Prices(0.0, 0.5 - p / 4))


def bowl(d: float, p: float) -> Point:
    value = (1 - d) ** 2 + (1 - p) ** 2 / 2
    return Point(Status.OPTIMAL, "formula", value, value, value, d, p, d, p, 2 * (1 - d), 1 - p)


@pytest.fixture(scope="module")
def corner() -> cdp.Surface:
    return cdp.trace(Corner(), (0.0, 1.0), (0.0, 1.0), tol=2e-3, margin=1e-2, progress=False)


@pytest.fixture(scope="module")
def grid() -> cdp.DiscreteProblem:
    return cdp.presets.paper_toy().discretize(n=61)


@pytest.fixture(scope="module")
def toy(grid: cdp.DiscreteProblem) -> cdp.Surface:
    """Has a floor, a logarithmic axis of P, and its channels."""
    return cdp.trace(grid, (0.66, 0.72), (1.5e-3, 0.03), tol=1e-4, margin=1e-3, progress=False, keep_channels=True)


@pytest.fixture(scope="module")
def family() -> Any:
    return cdp.linear_denoiser(cdp.presets.paper_toy())


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def labels(axes: Any) -> list[str]:
    return list(axes.get_legend_handles_labels()[1])


def line(axes: Any, label: str) -> Array:
    (found,) = [artist for artist in axes.lines if artist.get_label() == label]
    return np.asarray(found.get_data(), dtype=float)


# places


def test_the_mesh_follows_the_boundary(corner: cdp.Surface) -> None:
    mesh = surface_mesh(corner, 51)
    d, p = mesh.distortion, mesh.perception
    assert np.all(np.isfinite(mesh.values)) and np.all(np.diff(p[:, 0]) > 0) and np.all(np.diff(d, axis=1) >= 0)
    assert p[0, 0] == 0 and p[-1, 0] == 1 and np.all(d[:, -1] == 1)
    assert_allclose(d[:, 0], least(p[:, 0]), atol=2e-2)
    assert np.all(d[:, 0] >= corner.boundary.lower(p[:, 0]))  # type: ignore[union-attr]
    # no step: from row to row the edge moves by no more than twice an even share
    assert np.abs(np.diff(d[:, 0])).max() <= 2 * np.ptp(d[:, 0]) / 24


def test_the_mesh_begins_where_the_boundary_enters_the_rectangle(corner: cdp.Surface) -> None:
    narrow = cdp.trace(Corner(), (0.0, 0.3), (0.0, 1.0), tol=2e-2, margin=1e-2, progress=False)
    mesh = surface_mesh(narrow, 31)
    begins = mesh.perception[0, 0]
    assert least(begins) == pytest.approx(0.3, abs=2e-2) and np.all(np.isfinite(mesh.values))
    assert mesh.distortion[0, 0] == pytest.approx(0.3, abs=1e-6)


def test_first_finite_is_a_bisection() -> None:
    ends = np.array([0.1, 0.37, 2.0])

    def step(x: Array) -> Array:
        return np.where(x >= ends, x, np.inf)

    assert_allclose(first_finite(step, np.zeros(3), np.ones(3)), [0.1, 0.37, np.nan], atol=1e-8)


@pytest.mark.parametrize("logarithmic", [False, True])
def test_levels_are_close_along_the_axis_and_along_the_curve(logarithmic: bool) -> None:
    def curve(p: Array) -> Array:
        return 1 - np.sqrt(p)

    levels = curve_levels(curve, 1e-4, 1.0, 100, logarithmic)
    axis = np.log(levels) if logarithmic else levels
    assert levels[0] == 1e-4 and levels[-1] == 1.0 and np.all(np.diff(levels) > 0)
    assert np.diff(axis).max() <= np.ptp(axis) / 48
    assert np.abs(np.diff(curve(levels))).max() <= 0.04


# the surface


def test_contours_hold_the_bound(corner: cdp.Surface) -> None:
    axes = cdp.plot_surface(corner, n=61)
    (filled,) = [artist for artist in axes.collections if isinstance(artist, QuadContourSet)]
    values = surface_mesh(corner, 61).values
    assert filled.levels[0] <= values.min() and values.max() <= filled.levels[-1]
    assert (axes.get_xlim(), axes.get_ylim()) == (corner.distortion, corner.perception)
    assert axes.get_yscale() == "linear" and axes.get_xlabel() == "distortion $D$"
    assert "error rate" in axes.figure.axes[1].get_ylabel()
    d, p = line(axes, r"$D_{\min}(P)$")
    assert_allclose(d, corner.boundary.upper(p), atol=1e-14)  # type: ignore[union-attr]
    shown = np.column_stack(line(axes, "solved point"))
    feasible = corner.points[np.isfinite(corner.points["upper"])]
    assert_allclose(shown, np.column_stack([feasible["D"], feasible["P"]]))
    lower = cdp.plot_surface(corner, bound="lower", n=21)
    assert lower.figure.axes[1].get_ylabel() == "error rate $C$ (lower bound)"


def test_the_toy_has_units_a_logarithmic_axis_and_a_floor(toy: cdp.Surface) -> None:
    axes = cdp.plot_surface(toy, n=41)
    assert axes.get_xlabel() == "distortion $D$ (squared units of $x$)" and axes.get_ylabel() == "perception $P$ (nats)"
    assert is_logarithmic(toy) and axes.get_yscale() == "log"
    d, p = line(axes, r"$D_{\mathrm{flat}}(P)$")
    assert d[0] == toy.distortion[1] and p[0] == p[1], "the floor's edge ends inside of the picture"
    assert_allclose(d[1:], toy.floor.upper(p[1:]))  # type: ignore[union-attr]
    assert labels(axes) == ["infeasible", r"$D_{\min}(P)$", r"$D_{\mathrm{flat}}(P)$", "solved point"]


def test_given_axes_are_drawn_on(corner: cdp.Surface) -> None:
    figure = plt.figure()
    plane, solid = figure.add_subplot(121), figure.add_subplot(122, projection="3d")
    assert cdp.plot_surface(corner, plane, n=11) is plane and cdp.plot_boundary(corner, plane) is plane
    assert cdp.plot_surface(corner, solid, kind="3d", n=11) is solid
    for wrong, kind in ((plane, "3d"), (solid, "contour")):
        with pytest.raises(cdp.InputError, match="this picture needs"):
            cdp.plot_surface(corner, wrong, kind=kind, n=11)


def test_a_linear_family_lies_over_it(toy: cdp.Surface, family: Any) -> None:
    axes = cdp.plot_surface(toy, linear=family, n=31)
    lines = [artist for artist in axes.collections if isinstance(artist, QuadContourSet)][1]
    d, p = line(axes, "linear denoisers begin")
    inside = (d < 0.72) & (p > 0.0075)
    assert np.all(np.isfinite(family.best_error_rate(d, p)))
    assert np.all(np.isnan(family.best_error_rate(d[inside] - 1e-5, p[inside])))
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        assert_allclose(family.best_error_rate(*path.vertices.T), level, atol=2e-5)
    constant = cdp.linear_denoiser(cdp.presets.paper_toy(threshold=0.0))
    axes = cdp.plot_surface(toy, linear=constant, n=11)
    assert any(label.startswith("linear denoisers begin ($C$ = 0.2397") for label in labels(axes))


def test_published_points_inside_of_the_rectangle_lie_over_it(corner: cdp.Surface) -> None:
    axes = cdp.plot_surface(corner, published=True, n=11)
    (marks,) = [artist for artist in axes.collections if artist.get_label() == "published"]
    table = cdp.published.load("fig2a_corners")
    assert_allclose(marks.get_offsets(), np.column_stack([table["D"], table["P"]]))
    assert_allclose(np.asarray(marks.get_array()), table["C"])


def test_the_solid_is_the_mesh(toy: cdp.Surface, family: Any) -> None:
    axes: Any = cdp.plot_surface(toy, kind="3d", linear=family, n=31)
    mesh = surface_mesh(toy, 31)
    begin = next(artist for artist in axes.lines if artist.get_label() == r"begins at $D_{\min}(P)$")
    assert_allclose(begin.get_data_3d(), [np.log10(mesh.perception[:, 0]), mesh.distortion[:, 0], mesh.values[:, 0]])
    assert labels(axes)[-1] == "linear denoisers" and "error rate" in axes.get_zlabel()
    axes.figure.canvas.draw()
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert shown == ["0.003", "0.01", "0.03"]
    # C falls towards the eye: the far corner is higher than the near one
    near, far = (axes.get_proj() @ [*place, 0.0, 1.0] for place in ((-1.8, 0.72), (-3.0, 0.66)))
    assert near[2] / near[3] < far[2] / far[3]


# profiles


def test_slices_are_the_bounds(corner: cdp.Surface) -> None:
    axes = cdp.plot_slices(corner, P=[0.9, 0.1, 0.5])
    assert labels(axes) == ["$P$ = 0.1", "$P$ = 0.5", "$P$ = 0.9", "between the bounds"]
    shades = []
    for p, curve in zip((0.1, 0.5, 0.9), axes.lines, strict=True):
        d, c = np.asarray(curve.get_data(), dtype=float)
        assert d[0] == pytest.approx(least(p), abs=2e-2) and d[-1] == 1
        assert_allclose(c, corner.upper(d, p)) and np.all(np.isfinite(c))
        shades.append(np.dot(matplotlib.colors.to_rgb(curve.get_color()), (0.3, 0.6, 0.1)))
    assert shades[0] > shades[1] + 0.15 and shades[1] > shades[2] + 0.15, "not told apart in grey"
    assert len({curve.get_linestyle() for curve in axes.lines}) == 3
    bands = [artist for artist in axes.collections if isinstance(artist, PolyCollection)][:3]
    profile = slice_where_known(corner, True, 0.5)
    corners = bands[1].get_paths()[0].vertices
    for bound in (profile.lower, profile.upper):
        assert all(np.isclose(corners, place).all(axis=1).any() for place in zip(profile.levels, bound, strict=True))


def test_slices_along_perception_and_their_linear_family(toy: cdp.Surface, family: Any) -> None:
    axes = cdp.plot_slices(toy, D=[0.68, 0.70], linear=family)
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "perception $P$ (nats)"
    p, c = np.asarray(axes.lines[2].get_data(), dtype=float)
    assert_allclose(c, toy.upper(0.70, p))
    assert float(toy.upper(0.70, p[0] * 0.99)) == math.inf, "it begins before or behind D_min(P)"
    p, c = np.asarray(axes.lines[3].get_data(), dtype=float)
    assert len(p) and np.all(c > toy.upper(0.70, p))
    assert labels(cdp.plot_slices(toy))[:2] == ["$P$ = 0.0015", "$P$ = 0.0041"]


# boundary


def test_the_boundary_is_a_band_with_ticks_and_named_regions(toy: cdp.Surface) -> None:
    axes = cdp.plot_boundary(toy)
    for text in axes.texts:
        d, p = text.get_position()
        assert regions(toy, np.array(d), np.array(p))[text.get_text()]
    assert [text.get_text() for text in axes.texts] == ["infeasible", "trade-off", "floor"]
    assert toy.boundary is not None
    marks = next(bars for bars in axes.containers if bars.get_label() == "solved bracket").lines[0]
    rows = toy.boundary.brackets
    assert_allclose(marks.get_xdata(), (rows["lower"] + rows["upper"]) / 2)
    band = [artist for artist in axes.collections if isinstance(artist, PolyCollection)][1].get_paths()[0].vertices
    p = band[:, 1]
    assert np.all(toy.boundary.lower(p) <= band[:, 0] + 1e-12) and np.all(band[:, 0] <= toy.boundary.upper(p) + 1e-12)


# certificates


@pytest.mark.parametrize(("price", "column"), [("distortion", 0), ("perception", 1)])
def test_prices_are_those_of_the_highest_plane(corner: cdp.Surface, price: str, column: int) -> None:
    axes = cdp.plot_prices(corner, price=price, n=31)
    (image,) = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    mesh = surface_mesh(corner, 31)
    over = 1 + mesh.distortion - least(mesh.perception)
    exact = (over**-2, (0.5 - mesh.perception / 4) * over**-2)[column]
    found = np.asarray(image.get_array()).reshape(exact.shape)
    assert_allclose(found, exact, atol=0.15)
    low, high = image.get_clim()
    assert_allclose(found, np.clip(corner.prices(mesh.distortion, mesh.perception)[column], low, high))
    assert price in axes.figure.axes[1].get_ylabel()


def test_where_both_prices_are_active() -> None:
    """Flat in D beyond 1/2: there only P is paid for."""

    def half(d: float, p: float) -> Point:
        value = max(0.5 - d, 0.0) + (1 - p) ** 2
        prices = (float(d < 0.5), 2 * (1 - p))
        return Point(Status.OPTIMAL, "formula", value, value, value, d, p, d, p, *prices)

    surface = cdp.trace(half, (0.0, 1.0), (0.0, 1.0), tol=1e-3, progress=False)
    mesh = surface_mesh(surface, 41, surface.lower)
    active = both_active(surface, mesh) > 0
    assert not active[mesh.distortion >= 0.5].any() and not active[-1].any()
    assert active[(mesh.distortion < 0.49) & (mesh.perception < 0.9)].all()
    assert "both prices active: left, below" in labels(cdp.plot_prices(surface, n=41))


def test_the_gap_and_its_widest_place(corner: cdp.Surface) -> None:
    axes = cdp.plot_gap(corner, n=41)
    (image,) = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    mesh = surface_mesh(corner, 41, corner.gap)
    found = np.asarray(image.get_array()).reshape(mesh.values.shape)
    shown = mesh.values > 1e-5
    assert_allclose(10.0 ** found[shown], mesh.values[shown])
    gap, d, p = corner.widest
    assert_allclose(line(axes, f"its widest gap, {gap:.2g}").ravel(), [d, p])
    edge = outline(corner)
    assert corner.region.contains(corner.scale.to_unit(edge), 1e-9).all()
    assert_allclose(edge[0], edge[-1], atol=1e-12)
    assert np.abs(edge.min(axis=0) - [least(1.0) + corner.margin, 0]).max() < 2e-2


# pixels


def pixels(axes: Any) -> Callable[[float, float], Array]:
    """Median colour of a small block around a place: dots and hatches are thin."""
    figure = axes.figure
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255

    def colour(d: float, p: float) -> Array:
        x, y = axes.transData.transform((d, p))
        row, column = round(image.shape[0] - y), round(x)
        return np.asarray(np.median(image[row - 4 : row + 5, column - 4 : column + 5].reshape(-1, 3), axis=0))

    return colour


INSIDE = [(0.7, 0.15), (0.55, 0.5), (0.85, 0.75), (0.9, 0.3), (0.3, 0.85)]


def test_pixels_of_the_contours_say_what_the_data_say(corner: cdp.Surface) -> None:
    axes = cdp.plot_surface(corner, n=61)
    colour = pixels(axes)
    (filled,) = [artist for artist in axes.collections if isinstance(artist, QuadContourSet)]
    for d, p in INSIDE:
        assert_allclose(colour(d, p), filled.cmap(filled.norm(float(corner.upper(d, p))))[:3], atol=0.1)
    for d, p in [(0.1, 0.1), (0.2, 0.3), (0.05, 0.6)]:
        assert np.ptp(colour(d, p)) < 0.02 and colour(d, p).mean() > 0.6, "the infeasible part is not grey"
    along = [colour(d, 0.62).sum() for d in np.linspace(0.35, 0.95, 7)]
    assert np.all(np.diff(along) < 0.01) and along[0] > along[-1] + 0.4, "colours do not fall along D"


def test_nothing_is_left_blank_at_the_edges() -> None:
    """A surface without an infeasible part covers its rectangle."""
    surface = cdp.trace(bowl, (0.0, 1.0), (0.0, 1.0), tol=1e-2, progress=False)
    for draw in (cdp.plot_surface, cdp.plot_gap, cdp.plot_prices):
        colour = pixels(draw(surface, n=31))
        for d, p in [(0.02, 0.02), (0.98, 0.02), (0.02, 0.98), (0.5, 0.03), (0.03, 0.5)]:
            assert colour(d, p).min() < 0.95, f"{draw.__name__} is white at {(d, p)}"


# what is refused, and places of a surface


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda s: cdp.plot_surface(s, kind="4d"), "unknown kind of picture '4d'"),
        (lambda s: cdp.plot_surface(s, bound="middle"), "unknown bound 'middle'"),
        (lambda s: cdp.plot_surface(s, n=2), "n must be at least 3"),
        (lambda s: cdp.plot_surface(s, linear=3), "linear must come from cdp.linear_denoiser"),
        (lambda s: cdp.plot_surface(s, published="fig"), "published must be True or a table"),
        (lambda s: cdp.plot_surface(s, published=cdp.published.load("fig1c_mse")), "unknown column of fig1c_mse"),
        (lambda s: cdp.plot_slices(s, P=0.1, D=0.5), "not both"),
        (lambda s: cdp.plot_slices(s, P=[]), "at least one level"),
        (lambda s: cdp.plot_slices(s, D=0.01), "no place of the rectangle is known to be feasible"),
        (lambda s: cdp.plot_slices(s, P=math.nan), "P"),
        (lambda s: cdp.plot_slices(s, linear="toy"), "linear must come from"),
        (lambda s: cdp.plot_prices(s, price="error"), "unknown price 'error'"),
    ],
)
def test_refusals(corner: cdp.Surface, draw: Callable[[cdp.Surface], Any], message: str) -> None:
    with pytest.raises(cdp.InputError, match=message):
        draw(corner)


def test_surfaces_that_have_no_picture() -> None:
    line_only = cdp.trace(bowl, (0.5, 0.5), (0.0, 1.0), tol=1e-2, progress=False)
    with pytest.raises(cdp.InputError, match=r"traced at D = 0\.5 alone; plot_slices"):
        cdp.plot_gap(line_only)
    assert cdp.plot_slices(line_only, D=0.5).lines
    with pytest.raises(cdp.InputError, match="no boundary"):
        cdp.plot_boundary(line_only)
    nowhere = cdp.trace(Corner(), (0.0, 0.05), (0.0, 0.5), tol=1e-2, progress=False)
    with pytest.raises(cdp.InputError, match="no place of the rectangle is known to be feasible"):
        cdp.plot_surface(nowhere)


def test_channels_of_places_of_a_surface(toy: cdp.Surface, grid: cdp.DiscreteProblem, corner: cdp.Surface) -> None:
    place = toy.at(0.70, 0.005)
    axes = cdp.plot_channel(place, problem=grid)
    image = next(artist for artist in axes.collections if isinstance(artist, QuadMesh))
    widths = np.diff(plotting.drawn_ends(grid.grid.x_edges))  # type: ignore[union-attr]
    assert place.sparse_channel is not None and place.output_law is not None
    assert_allclose(
        np.asarray(image.get_array()).reshape(grid.shape[::-1]), (place.sparse_channel.toarray() / widths).T
    )
    law = cdp.plot_output_law(place, problem=grid).patches[-1].get_data().values  # type: ignore[attr-defined]
    assert_allclose(law * widths, place.output_law, atol=1e-12)
    for draw in (cdp.plot_channel, cdp.plot_output_law):
        with pytest.raises(cdp.InputError, match="give problem="):
            draw(place)
        with pytest.raises(cdp.InputError, match="keep_channels=True"):
            draw(corner.at(0.9, 0.9), problem=grid)
        with pytest.raises(cdp.InputError, match="the problem"):
            draw(place, problem=cdp.presets.paper_toy().discretize(n=11))


def test_units_of_other_perceptions(corner: cdp.Surface) -> None:
    for name, label in (
        ("tv", "perception $P$ (tv)"),
        ("w1", "perception $P$ (units of $x$)"),
        ("renyi:2", "perception $P$ (nats)"),
        ("hellinger_squared", "perception $P$ (hellinger squared)"),
        ("my own", "perception $P$ (my own)"),
        ("", "perception $P$"),
    ):
        assert axis_labels(dataclasses.replace(corner, about={"perception": name}))[1] == label


def test_what_is_drawn_is_the_upper_bound(corner: cdp.Surface) -> None:
    d, p = np.meshgrid(np.linspace(-0.1, 1.2, 53), np.linspace(-0.1, 1.2, 53))
    upper, drawn = corner.upper(d, p), corner.drawn(d, p)
    assert np.array_equal(corner.reached(d, p), np.isfinite(upper))
    assert 0 < np.isfinite(upper).sum() < upper.size
    assert_allclose(drawn, upper, rtol=0, atol=1e-13)
    assert not corner.reached([math.nan, 1.0, 1.0], [1.0, math.nan, -1.0]).any()
    assert corner.reached(1.0, 1.0).shape == corner.drawn(1.0, 1.0).shape == ()


@pytest.mark.parametrize("layout", ["constrained", None])
def test_figures_keep_their_layout_after_they_are_saved(tmp_path: Path, layout: str | None) -> None:
    figure = Figure(figsize=(3, 2), layout=layout)
    axes = figure.subplots()
    axes.set_ylabel("a label that is\nof several\nlines")
    before = figure.get_layout_engine(), figure.dpi, figure.canvas
    png = plotting.save(figure, tmp_path, "picture")[1].read_bytes()
    assert (figure.get_layout_engine(), figure.dpi, figure.canvas) == before
    plotting.save_as(figure, tmp_path / "alone.png")
    assert (tmp_path / "alone.png").read_bytes() == png
    assert (axes.get_position().x0 > 0.2) == (layout is not None)  # the label is given room
