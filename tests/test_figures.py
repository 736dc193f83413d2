"""Labels of axes in figures."""

from typing import Literal

import pytest
from matplotlib.figure import Figure

from splade_anserini.artifacts.figures import plain_number, use_log_scale


@pytest.mark.parametrize(
    ("number", "label"),
    [
        (0.0, "0"),
        (26250.0, "26,250"),
        (150_000, "150,000"),
        (0.30000000000000004, "0.3"),
        (-0.04, "-0.04"),
        (0.001, "0.001"),
        (0.0005, "5e-4"),
        (1.75e-05, "1.75e-5"),
    ],
)
def test_a_number_is_labelled_without_powers_of_ten(number: float, label: str) -> None:
    assert plain_number(number) == label


@pytest.mark.parametrize("direction", ["x", "y"])
@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((10, 900), {"10", "20", "50", "100", "200", "500", "1,000"}),
        ((1, 20_000), {"1", "10", "100", "1,000", "10,000"}),
    ],
    ids=["two decades", "four decades"],
)
def test_a_logarithmic_axis_has_few_plain_labels(
    direction: Literal["x", "y"], values: tuple[float, float], labels: set[str]
) -> None:
    figure = Figure()
    axis = figure.subplots()
    axis.plot(values, values)
    use_log_scale(axis, direction)
    figure.canvas.draw()
    ticks = axis.xaxis if direction == "x" else axis.yaxis
    low, high = ticks.get_view_interval()
    shown = {
        label.get_text()
        for position, label in zip(ticks.get_ticklocs(), ticks.get_ticklabels(), strict=True)
        if low <= position <= high
    }
    assert shown == labels
