"""Pareto fronts, settings, stored results, tables and plots of a sweep, without Java."""

import csv
import io
import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from splade_anserini.artifacts.figures import save_figure
from splade_anserini.artifacts.manifests import MANIFEST
from splade_anserini.errors import InputError, MismatchError
from splade_anserini.tradeoffs.labels import Box, Label, place_labels
from splade_anserini.tradeoffs.plot import figure_of
from splade_anserini.tradeoffs.results import Result, SweepState, pareto_front, pareto_fronts
from splade_anserini.tradeoffs.settings import DEFAULT, KINDS, Pruning, Setting, Space, parse_prunings, parse_values
from splade_anserini.tradeoffs.table import as_comma_separated, as_json, as_table

type Points = list[tuple[float, float]]

POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: (float(pair[0]), float(pair[1]))))


@given(POINTS)
def test_the_pareto_front_consists_of_the_points_that_no_other_point_dominates(points: Points) -> None:
    def dominated(cost: float, value: float) -> bool:
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)

    assert pareto_front(points) == [not dominated(*point) for point in points]


@given(POINTS.filter(bool))
def test_the_pareto_front_increases_from_the_cheapest_to_the_best_point(points: Points) -> None:
    front = sorted({point for point, on_front in zip(points, pareto_front(points), strict=True) if on_front})
    assert front[0][0] == min(cost for cost, _ in points)
    assert front[-1][1] == max(value for _, value in points)
    assert [value for _, value in front] == sorted({value for _, value in front})


@given(POINTS, st.randoms(use_true_random=False))
def test_the_pareto_front_does_not_depend_on_the_order_of_the_points(points: Points, generator: Random) -> None:
    on_front = dict(zip(points, pareto_front(points), strict=True))
    shuffled = list(points)
    generator.shuffle(shuffled)
    assert pareto_front(shuffled) == [on_front[point] for point in shuffled]


@given(POINTS)
def test_the_pareto_front_of_a_pareto_front_contains_all_its_points(points: Points) -> None:
    front = [point for point, on_front in zip(points, pareto_front(points), strict=True) if on_front]
    assert all(pareto_front(front))


def test_printed_prunings_are_parsed_again() -> None:
    prunings = parse_prunings(["top-k=32,64", "mass=.9,0.80", "top-k=64", "min-impact=5", "quantile=0.5"])
    assert [str(pruning) for pruning in prunings] == [
        "top-k=32",
        "top-k=64",
        "mass=0.9",
        "mass=0.8",
        "min-impact=5",
        "quantile=0.5",
    ]
    assert parse_prunings(map(str, prunings)) == prunings


INVALID_PRUNINGS = """
top-k top-k= top-k=0 top-k=1.5 top-k=inf top-k=nan top-k=1e999 top-k=1,,2 min-impact=-3 mass=0 mass=1 mass=nan mass=a
quantile=1.2 quantile=0 heads=3
"""


@pytest.mark.parametrize("text", ["", *INVALID_PRUNINGS.split()])
def test_an_invalid_pruning_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"Invalid (.|\n)*Expected"):
        parse_prunings([text])


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [("top-k", 3, "abc"), ("min-impact", 6, "ab"), ("mass", 0.7, "ab"), ("quantile", 0.7, "abc")],
)
def test_each_kind_of_pruning_keeps_the_strongest_entries(kind: str, value: float, kept: str) -> None:
    assert kind in KINDS
    impacts = {9: 1, 6: 1, 3: 1, 2: 1, 1: 4}
    prune = Pruning(kind, value).function(impacts)  # type: ignore[arg-type]
    assert set(prune({"a": 9, "b": 6, "c": 3, "d": 2})) == set(kept)


def test_each_value_is_tried_alone_or_in_all_combinations() -> None:
    space = Space(parse_prunings(["top-k=8,9"]), [4], parse_prunings(["mass=0.5"]), [2, 3])
    assert [str(setting) for setting in space.settings()] == [
        "exact",
        "two-step 2",
        "two-step 3",
        "queries mass=0.5",
        "bits 4",
        "documents top-k=8",
        "documents top-k=9",
    ]
    grid = space.settings(grid=True)
    assert len(set(grid)) == len({*map(str, grid)}) == 3 * 2 * 2 * 3
    assert set(space.settings()) <= set(grid)
    assert str(grid[-1]) == "documents top-k=9, bits 4, queries mass=0.5, two-step 3"


def test_powers_of_idf_and_weights_of_bm25_are_tried_alone_or_together() -> None:
    space = Space(query_idf=[0, 0.25, 0.5], hybrid=[0.5])
    assert [str(setting) for setting in space.settings()] == ["exact", "hybrid 0.5", "query-idf 0.25", "query-idf 0.5"]
    assert str(space.settings(grid=True)[-1]) == "query-idf 0.5, hybrid 0.5"
    assert len(space.settings(grid=True)) == 3 * 2


def test_other_values_are_tried_with_the_usual_power_of_idf() -> None:
    space = Space(bits=[4], query_idf=[0, 0.25], usual_idf=0.75)
    assert [str(setting) for setting in space.settings()] == [
        "query-idf 0.75",
        "exact",
        "query-idf 0.25",
        "bits 4, query-idf 0.75",
    ]


def test_numbers_are_parsed_once_each() -> None:
    assert parse_values("--query-idf", ["0.25, .5", "0.250", "1e0"], 10) == [0.25, 0.5, 1]


@pytest.mark.parametrize("text", ["", "a", "0.5,", "-1", "nan", "inf", "11", "0.5;1"])
def test_an_invalid_number_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"--query-idf '.*' is not valid(.|\n)*at most 10"):
        parse_values("--query-idf", [text], 10)


def test_inputs_that_only_some_settings_have_may_be_added_and_must_stay_the_same(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(STORED))
    result = SweepState(tmp_path, INPUTS).results["exact"]
    SweepState(tmp_path, INPUTS | {"text index": "a"}).add({"hybrid 0.5": result})
    assert "hybrid 0.5" in SweepState(tmp_path, INPUTS).results
    with pytest.raises(MismatchError, match="text index was a, is b"):
        SweepState(tmp_path, INPUTS | {"text index": "b"})


@pytest.mark.parametrize("grid", [False, True])
def test_settings_of_the_same_index_are_consecutive(grid: bool) -> None:
    indexes = [setting.index_setting for setting in DEFAULT.settings(grid=grid)]
    changes = sum(index != next_index for index, next_index in pairwise(indexes))
    assert changes + 1 == len(set(indexes))


INPUTS = {"hits": 10, "measures": ["nDCG@10"]}
STORED = {
    "kind": "sweep",
    "version": "0.1.0",
    "inputs": INPUTS,
    "rows": {
        name: {
            "entries_document": 22.0,
            "entries_query": 11.125,
            "postings": 198,
            "bytes": 3898,
            "flops": 7.375,
            "milliseconds": 6.5,
            "milliseconds_p95": None,
            "measures": {"nDCG@10": 0.75},
        }
        for name in ("exact", "two-phase 2", "documents top-k=4, two-phase 8", "queries min-impact=5")
    },
}
"""A manifest as versions before "two-step" wrote it."""


def test_results_that_an_earlier_version_stored_are_loaded(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(STORED))
    state = SweepState(tmp_path, INPUTS)
    assert [*state.results] == ["exact", "two-step 2", "documents top-k=4, two-step 8", "queries min-impact=5"]
    assert state.results["two-step 2"].flops == 7.375
    state.add({"bits 2": state.results["exact"]})
    assert [*SweepState(tmp_path, INPUTS).results] == [*state.results]


def test_results_of_other_inputs_are_an_error(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(STORED))
    with pytest.raises(MismatchError, match="was created with other inputs: hits was 10, is 5"):
        SweepState(tmp_path, INPUTS | {"hits": 5})


@pytest.mark.parametrize("hits", [10, 5], ids=["the same inputs", "other inputs"])
def test_overwrite_starts_over(tmp_path: Path, hits: int) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(STORED))
    assert not SweepState(tmp_path, INPUTS | {"hits": hits}, overwrite=True).results


def result(cost: float, value: float) -> Result:
    return Result(
        entries_document=1,
        entries_query=1,
        postings=1,
        bytes=int(1e6 * cost),
        flops=cost,
        milliseconds=10 - cost,
        milliseconds_p95=None,
        measures={"nDCG@10": value, "R@100": 1 - value},
    )


RESULTS = {
    Setting(): result(3, 0.5),
    Setting(documents=Pruning("top-k", 64)): result(2, 0.5),
    Setting(bits=2): result(1, 0.1),
}


def test_each_cost_has_its_own_pareto_front() -> None:
    assert pareto_fronts(list(RESULTS.values()), "nDCG@10") == {
        "flops": [False, True, True],
        "bytes": [False, True, True],
        "milliseconds": [True, False, False],
    }
    assert pareto_fronts(list(RESULTS.values()), "R@100")["flops"] == [False, False, True]


def test_the_table_marks_settings_on_a_pareto_front() -> None:
    *lines, note, best = as_table(RESULTS, ["nDCG@10", "R@100"]).splitlines()
    assert [line.count("*") for line in lines] == [0, 1, 2, 2]
    assert lines[0].split() == ["nDCG@10", "R@100", "FLOPS", "MB", "ms"]
    assert lines[2].startswith("documents top-k=64")
    assert note == "*: on the Pareto front of nDCG@10 and this cost."
    assert best == "Best nDCG@10: exact (0.5000)."
    assert as_table(RESULTS, ["R@100"]).splitlines()[-1] == "Best R@100: bits 2 (0.9000)."


def test_the_csv_file_has_one_line_per_setting_with_all_digits() -> None:
    lines = list(csv.DictReader(io.StringIO(as_comma_separated(RESULTS, ["nDCG@10", "R@100"]))))
    assert [line["documents"] for line in lines] == ["", "top-k=64", ""]
    assert [line["bits"] for line in lines] == ["", "", "2"]
    assert [line["pareto_flops"] for line in lines] == ["0", "1", "1"]
    assert float(lines[2]["R@100"]) == 1 - 0.1
    assert lines[0]["milliseconds_p95"] == ""


def test_the_json_has_one_object_per_setting() -> None:
    exact, pruned, _ = as_json(RESULTS, ["nDCG@10", "R@100"])
    assert (exact["setting"], exact["pareto_front"]) == ({}, ["milliseconds"])
    assert (pruned["setting"], pruned["pareto_front"]) == ({"documents": "top-k=64"}, ["flops", "bytes"])
    assert (exact["best"], pruned["best"]) == (True, False)
    assert (pruned["flops"], pruned["measures"]) == (2.0, {"nDCG@10": 0.5, "R@100": 0.5})


def test_the_plot_has_one_panel_per_measure_and_cost() -> None:
    axes = figure_of(RESULTS, ["nDCG@10", "R@100"]).axes
    assert [axis.get_ylabel() for axis in axes] == ["nDCG@10", "", "", "R@100", "", ""]
    assert [axis.get_xlabel() for axis in axes[3:]] == [
        "FLOPS, Σ p_q p_d",
        "index size, MB",
        "ms per query, one thread",
    ]


def test_each_panel_shows_all_settings_and_the_pareto_front() -> None:
    axis = figure_of(RESULTS, ["nDCG@10"]).axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}  # type: ignore[union-attr]
    assert lines == {
        "Pareto front": [[1, 0.1], [2, 0.5]],
        "unpruned, exact search": [[3, 0.5]],
        "static pruning of documents": [[2, 0.5]],
        "quantization of impacts": [[1, 0.1]],
    }
    assert {text.get_text() for text in axis.texts} == {"top-k=64", "2 bits"}


@pytest.mark.slow
def test_the_labels_of_a_plot_overlap_neither_markers_nor_one_another() -> None:
    generator = Random(7)
    settings = DEFAULT.settings(grid=True)[:150]
    results = {setting: result(generator.uniform(0.5, 5), generator.uniform(0.1, 0.5)) for setting in settings}
    figure = figure_of(results, ["nDCG@10", "R@100"])
    figure.draw_without_rendering()
    for axis in figure.axes:
        markers = [point for line in axis.lines[1:] for point in axis.transData.transform(line.get_xydata())]
        # The extent of an annotation includes the line to its point, that of its text does not.
        boxes = [Text.get_window_extent(label) for label in axis.texts]
        assert boxes
        assert not any(box.contains(x, y) for box in boxes for x, y in markers)
        assert not any(box.overlaps(other) for position, box in enumerate(boxes) for other in boxes[:position])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_results_give_the_same_plot_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for path in paths:
        save_figure(figure_of(RESULTS, ["nDCG@10"]), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second


def test_results_without_times_or_hits_can_be_plotted(tmp_path: Path) -> None:
    results = {
        setting: measured.model_copy(update={"flops": 0.0, "milliseconds": 0.0})
        for setting, measured in RESULTS.items()
    }
    save_figure(figure_of(results, ["nDCG@10"]), tmp_path / "plot.png")


PANEL = Box(0, 0, 100, 100)


def test_a_label_is_placed_below_and_to_the_right_of_its_point() -> None:
    (box,) = place_labels([Label(50, 50, 20, 8)], PANEL, [], [])
    assert box
    assert box.left > 50
    assert box.top < 50


@pytest.mark.parametrize("obstacle", [Box(50, 0, 100, 100), Box(0, 0, 100, 50)], ids=["to the right", "below"])
def test_a_label_avoids_obstacles(obstacle: Box) -> None:
    (box,) = place_labels([Label(49, 51, 20, 8)], PANEL, [obstacle], [])
    assert box
    assert box.right <= obstacle.left or box.bottom >= obstacle.top


def test_a_label_prefers_not_to_cross_a_line() -> None:
    vertical = Box(65, 0, 65, 100)
    (box,) = place_labels([Label(50, 50, 20, 8)], PANEL, [], [vertical])
    assert box
    assert box.right <= 65


def test_a_label_without_room_is_left_out() -> None:
    assert place_labels([Label(50, 50, 20, 8)], PANEL, [PANEL], []) == [None]
    assert place_labels([Label(50, 50, 120, 8)], PANEL, [], []) == [None]
