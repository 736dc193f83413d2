"""The Pareto front and the settings of a sweep: laws, without Java."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.errors import InputError
from splade_anserini.tradeoffs.pareto import front
from splade_anserini.tradeoffs.plot import figure_of
from splade_anserini.tradeoffs.rows import Row, fronts
from splade_anserini.tradeoffs.settings import DEFAULT, KINDS, Pruning, Setting, Space, parse_prunings
from splade_anserini.tradeoffs.table import as_comma_separated, as_table

points = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: (float(pair[0]), float(pair[1]))))

type Points = list[tuple[float, float]]


@given(points)
def test_on_the_front_is_what_no_other_point_beats(some: Points) -> None:
    def beaten(cost: float, value: float) -> bool:
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in some)

    assert front(some) == [not beaten(*point) for point in some]


@given(points.filter(bool))
def test_the_cheapest_and_the_best_are_on_the_front_and_more_costs_more(some: Points) -> None:
    on = sorted({point for point, is_on in zip(some, front(some), strict=True) if is_on})
    assert on[0][0] == min(cost for cost, _ in some)
    assert on[-1][1] == max(value for _, value in some)
    assert [value for _, value in on] == sorted({value for _, value in on})


@given(points, st.randoms())
def test_the_order_of_the_points_changes_nothing(some: Points, chance: object) -> None:
    of = dict(zip(some, front(some), strict=True))
    shuffled = list(some)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert front(shuffled) == [of[point] for point in shuffled]


@given(points)
def test_the_front_of_the_front_is_itself(some: Points) -> None:
    on = [point for point, is_on in zip(some, front(some), strict=True) if is_on]
    assert all(front(on))


def test_prunings_are_parsed_as_they_are_printed() -> None:
    parsed = parse_prunings(["top-k=32,64", "mass=.9,0.80", "top-k=64", "min-impact=5", "quantile=0.5"])
    assert [str(one) for one in parsed] == [
        "top-k=32",
        "top-k=64",
        "mass=0.9",
        "mass=0.8",
        "min-impact=5",
        "quantile=0.5",
    ]
    assert parse_prunings(map(str, parsed)) == parsed


NO_PRUNINGS = """
top-k top-k= top-k=0 top-k=1.5 top-k=inf top-k=nan top-k=1e999 top-k=1,,2 min-impact=-3 mass=0 mass=1 mass=nan mass=a
quantile=1.2 quantile=0 heads=3
"""


@pytest.mark.parametrize("text", ["", *NO_PRUNINGS.split()])
def test_what_is_no_pruning_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Expected"):
        parse_prunings([text])


def test_each_kind_prunes_as_its_function() -> None:
    vector = {"a": 9, "b": 6, "c": 3, "d": 2}
    impacts = {9: 1, 6: 1, 3: 1, 2: 1, 1: 4}
    kept = {
        kind: set(Pruning(kind, value).function(impacts)(vector))
        for kind, value in zip(KINDS, (3, 6, 0.7, 0.7), strict=True)
    }
    assert kept == {"top-k": {"a", "b", "c"}, "min-impact": {"a", "b"}, "mass": {"a", "b"}, "quantile": {"a", "b", "c"}}


def test_each_value_is_tried_alone_or_with_all_others() -> None:
    space = Space(parse_prunings(["top-k=8,9"]), [4], parse_prunings(["mass=0.5"]), [2, 3])
    alone = [str(setting) for setting in space.settings()]
    assert alone == [
        "exact",
        "two-phase 2",
        "two-phase 3",
        "queries mass=0.5",
        "bits 4",
        "documents top-k=8",
        "documents top-k=9",
    ]
    grid = space.settings(grid=True)
    assert len(set(grid)) == len({*map(str, grid)}) == 3 * 2 * 2 * 3
    assert set(space.settings()) <= set(grid)
    assert str(grid[-1]) == "documents top-k=9, bits 4, queries mass=0.5, two-phase 3"


def test_settings_of_one_index_stand_together() -> None:
    for grid in (False, True):
        indexes = [(setting.documents, setting.bits) for setting in DEFAULT.settings(grid=grid)]
        changes = sum(one != other for one, other in pairwise(indexes))
        assert changes + 1 == len(set(indexes))


def row(cost: float, value: float) -> Row:
    return Row(
        entries_document=1,
        entries_query=1,
        postings=1,
        bytes=int(1e6 * cost),
        flops=cost,
        milliseconds=10 - cost,
        milliseconds_p95=None,
        measures={"nDCG@10": value, "R@100": 1 - value},
    )


ROWS = {
    Setting(): row(3, 0.5),
    Setting(documents=Pruning("top-k", 64)): row(2, 0.5),
    Setting(bits=2): row(1, 0.1),
}


def test_a_front_is_of_one_measure_against_each_cost() -> None:
    assert fronts(list(ROWS.values()), "nDCG@10") == {
        "flops": [False, True, True],
        "bytes": [False, True, True],
        "milliseconds": [True, False, False],
    }
    assert fronts(list(ROWS.values()), "R@100")["flops"] == [False, False, True]


def test_the_table_marks_what_is_on_a_front() -> None:
    lines = as_table(ROWS, ["nDCG@10", "R@100"]).splitlines()
    assert [line.count("*") for line in lines] == [0, 1, 2, 2]
    assert lines[0].split() == ["nDCG@10", "R@100", "FLOPS", "MB", "ms"]
    assert lines[2].startswith("documents top-k=64")


def test_the_csv_has_a_line_for_each_setting_and_all_digits() -> None:
    lines = list(csv.DictReader(io.StringIO(as_comma_separated(ROWS, ["nDCG@10", "R@100"]))))
    assert [line["documents"] for line in lines] == ["", "top-k=64", ""]
    assert [line["bits"] for line in lines] == ["", "", "2"]
    assert [line["front flops"] for line in lines] == ["0", "1", "1"]
    assert float(lines[2]["R@100"]) == 1 - 0.1
    assert lines[0]["milliseconds_p95"] == ""


def test_the_picture_has_each_setting_in_each_panel_and_the_front() -> None:
    figure = figure_of(ROWS, "nDCG@10")
    assert [axis.get_xlabel() for axis in figure.axes] == [
        "FLOPS, Σ p_q p_d",
        "index, MB",
        "ms a query, one thread",
    ]
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}  # type: ignore[union-attr]
    assert lines["Pareto front"] == [[1, 0.1], [2, 0.5]]
    assert lines["exact"] == [[3, 0.5]]
    assert lines["documents"] == [[2, 0.5]]
    assert lines["bits"] == [[1, 0.1]]
    assert {text.get_text() for text in figure.axes[0].texts} == {"documents top-k=64", "bits 2"}
