"""Results in notebooks: as tables, as DataFrames, and in one line."""

import sys
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from splade_anserini.errors import DependencyError
from splade_anserini.evaluation.comparison import compare
from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.options import RandomizationOptions
from splade_anserini.explaining import ResultHit, SearchResult, Vector, explain_match
from splade_anserini.explaining.hits import Hit, Hits


def evaluation(*values: float) -> Evaluation:
    per_query = {f"q<{number}>": {"nDCG@10": value} for number, value in enumerate(values)}
    return Evaluation({"nDCG@10": sum(values) / len(values)}, per_query, (), 10)


HITS = Hits([Hit("d<1>", 12.0, "A text\nof two lines."), Hit("d2", 3.0, None)])
MATCH = explain_match({"cat": 2, "pet": 1}, {"cat": 3, "pet": 4}, "d<1>")
RESULT = SearchResult(
    "cats <b>", {"cat": 2, "pet": 1}, (ResultHit(1, "d<1>", 10, {"contents": "A <b>text</b>."}, MATCH.terms),)
)
EVALUATION = evaluation(0.5, 1.0)
COMPARISON = compare(
    {"a": EVALUATION, "b<c>": evaluation(0.25, 0.5)}, ["nDCG@10"], "a", RandomizationOptions(permutations=10)
)
VECTOR = Vector("d<1>", {"b": 2, "<b>": 7, "a": 2})
RESULTS = [HITS, Hits(), RESULT, EVALUATION, COMPARISON, VECTOR]


def cells(part: str) -> list[str]:
    return [cell.text or "" for cell in ET.fromstring(part).iter() if cell.tag in {"th", "td"}]


@pytest.mark.parametrize("result", RESULTS, ids=lambda value: type(value).__name__)
def test_a_notebook_shows_a_result_as_a_labelled_table(result: Any) -> None:
    part = result._repr_html_()
    root = ET.fromstring(part)
    assert (root.get("role"), bool(root.get("aria-label"))) == ("region", True)
    assert root.find("table/thead/tr/th[@scope='col']") is not None
    assert not any(name in part for name in ("<b>", "<1>", "src=", "http", "<script"))


def test_a_table_has_what_the_result_has() -> None:
    assert cells(HITS._repr_html_())[4:8] == ["1", "d<1>", "12", "A text of two lines."]
    assert cells(RESULT._repr_html_())[5:] == ["1", "d<1>", "10", "cat 60%, pet 40%", "A <b>text</b>."]
    assert cells(EVALUATION._repr_html_()) == ["queries", "nDCG@10", "2", "0.7500"]
    assert "-0.3750 " in cells(COMPARISON._repr_html_())


def test_one_line_says_what_a_result_is() -> None:
    assert repr(EVALUATION) == "<Evaluation of 2 queries: nDCG@10 0.7500>"
    assert repr(COMPARISON) == "<Comparison of a, b<c> with a in nDCG@10>"


def test_a_vector_is_a_dictionary_the_greatest_impact_first() -> None:
    assert VECTOR == {"a": 2, "b": 2, "<b>": 7}
    assert list(VECTOR) == ["<b>", "a", "b"]
    assert repr(VECTOR) == "<Vector of 'd<1>', 3 entries: <b> 7, a 2, b 2>"
    assert "d<1>: 3 entries" in str(VECTOR)
    assert VECTOR.to_pandas()["impact"].tolist() == [7, 2, 2]


def test_hits_are_a_list_also_in_part() -> None:
    assert [*HITS] == HITS
    assert isinstance(HITS[:1], Hits)
    assert HITS[0].id == "d<1>"


def test_columns_and_rows_of_data_frames() -> None:
    frame = HITS.to_pandas()
    assert frame.to_dict("records")[0] == {"rank": 1, "id": "d<1>", "score": 12.0, "text": "A text\nof two lines."}
    assert RESULT.to_pandas()["terms"].tolist() == [{"cat": 6, "pet": 4}]
    assert EVALUATION.to_pandas()["nDCG@10"].mean() == EVALUATION.aggregate["nDCG@10"]
    compared = COMPARISON.to_pandas()
    assert compared[["run", "measure", "value"]].values.tolist() == [["a", "nDCG@10", 0.75], ["b<c>", "nDCG@10", 0.375]]
    assert compared["difference"].tolist()[1] == -0.375
    assert compared["difference"].isna().tolist() == [True, False]


@pytest.mark.parametrize("result", RESULTS, ids=lambda value: type(value).__name__)
def test_pandas_that_is_missing_is_named_with_its_extra(result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DependencyError, match=r"pandas is not installed.\n.*splade-anserini\[pandas\]"):
        result.to_pandas()
