"""The page of the command `serve`, in a headless Chromium, and what it asks of the service."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

pytest.importorskip("fastapi", reason="serve is an extra")

from starlette.testclient import TestClient

from splade_anserini.encoding.origins import TokenSpan
from splade_anserini.errors import InputError
from splade_anserini.lucene import start_jvm
from splade_anserini.serving.api_keys import ApiKeys
from splade_anserini.serving.highlighting import WordSpans
from splade_anserini.serving.opened_index import OpenedIndex, index_sources
from splade_anserini.serving.options import LimitOptions, ServedOptions
from splade_anserini.serving.server import address, gated, open_socket
from splade_anserini.serving.service import Service
from splade_anserini.serving.web_page import read_sample_queries
from tests.cli_runner import run_stage
from tests.encoder_fixtures import write_dictionary_encoder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef-key"
EXPANSIONS = {
    "cats": {"cat": 2.0, "pet": 0.5, "cats": 1.0},
    "dogs": {"dog": 2.0, "pet": 0.75, "dogs": 0.25},
    "sleep": {"sleep": 1.5},
    "bark": {"dog": 1.0, "noise": 1.25},
    "quiet": {"noise": 0.5},
    "meow": {"meow": 1.0},
    "many": {"many": 1.0} | {f"t{number}": 0.9 - number / 500 for number in range(300)},
    "猫": {"猫": 1.0},
    "قط": {"قط": 1.0},
}
SCRIPT = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
LONG_ID = 90 * "i"
LONG_TEXT = f"First of all meow\n\n{400 * 'word '}\n\nIn the end meow"
DOCUMENTS = [
    {
        "id": "d0",
        "title": "Of cats",
        "text": "cats sleep",
        "url": "https://example.org/cats?a=1&b=2",
        "price": 10,
        "brand": "Mio",
    },
    {"id": "d1", "title": "Of dogs", "text": "dogs bark", "price": 25, "brand": "Rex"},
    {"id": "d2", "title": "Of both", "text": "cats and dogs sleep where it is quiet", "price": 40, "brand": "Mio"},
    {
        "id": 'x"><b>',
        "title": SCRIPT,
        "text": f"they {SCRIPT} bark",
        "url": "javascript:document.title='run'",
        "note": SCRIPT,
    },
    {"id": LONG_ID, "title": 60 * "Title ", "text": LONG_TEXT, "note": 200 * "w", "tags": ["a", "b"], "none": None},
    {"id": "m", "title": "", "text": "many"},
    {"id": "文書", "title": "猫 の 話", "text": "猫 が 寝る 。"},
    {"id": "rtl", "title": "قط نائم", "text": "قط ينام"},
    *({"id": f"n{number}", "title": "", "text": f"sleep {number * 'x '}"} for number in range(30)),
]
SAMPLES = ["cats sleep", "dogs", "quiet", "cats", "bark", "sleep", "cats dogs", "dogs bark"]
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1280}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with documents and fields for filters, one without, one without an encoder, and a text index."""
    home = tmp_path_factory.mktemp("page")
    write_dictionary_encoder(home / "encoder", EXPANSIONS)
    corpus = home / "corpus.jsonl"
    corpus.write_text("\n".join(map(json.dumps, DOCUMENTS)))
    (home / "topics.tsv").write_text("".join(f"{number}\t{text}\n" for number, text in enumerate([*SAMPLES, "dogs"])))
    (home / "vectors.jsonl").write_text('{"id": "v1", "vector": {"cat": 3}}\n')
    stored = ("--store-text", "--documents", corpus, "--filter-fields", "price:int,brand:str")
    for arguments in [
        ("encode", "--corpus", corpus, "--encoder", home / "encoder", "--output", home / "impacts"),
        ("index", "--input", home / "impacts", "--index", home / "pets", *stored),
        ("index", "--input", home / "impacts", "--index", home / "bare"),
        ("index", "--input", home / "vectors.jsonl", "--index", home / "vectors"),
        ("index", "--bm25", "--input", corpus, "--index", home / "texts"),
    ]:
        made = run_stage(*arguments)
        assert made.code == 0, made.err
    start_jvm()
    return home


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Service]:
    served = ServedOptions(
        index=tuple(f"{name}={home / name}" for name in ("pets", "bare", "vectors")),
        bm25=(f"pets={home / 'texts'}",),
        sample_queries=str(home / "topics.tsv"),
    )
    indexes = [OpenedIndex(source, served) for source in index_sources(served)]
    service = Service(indexes, served, LimitOptions(max_hits=30), samples=read_sample_queries(served.sample_queries))
    yield service
    service.close()


@contextlib.contextmanager
def running(service: Service, keys: ApiKeys | None = None) -> Iterator[str]:
    """Serve at a free port; return the address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(gated(service, keys), log_level="warning"))
    with open_socket("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield address(opened)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    with running(service) as url:
        yield url


# What the page asks of the service.


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script_of_documents(service: Service) -> None:
    with TestClient(gated(service, ApiKeys([KEY]))) as client:
        page = client.get("/")
        assert page.status_code == 200, "it needs no key"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        names = [file.name for file in files("splade_anserini.serving").joinpath("page").iterdir()]
        for name in set(names) - {"index.html"}:
            part = client.get(f"/page/{name}")
            assert part.status_code == 200
            assert part.headers["x-content-type-options"] == "nosniff"
            assert "://" not in part.text.replace("http://www.w3.org/2000/svg", "").replace("^https?:\\/\\/", "")
            assert client.get(f"/page/{name}", headers={"If-None-Match": part.headers["etag"]}).status_code == 304
        assert client.get("/page/..%2Fserve.py").status_code == 404
        assert client.get("/v1/page").status_code == 401


def test_sample_queries_are_those_of_topics_each_once(service: Service, tmp_path: Path) -> None:
    with TestClient(gated(service)) as client:
        values = client.get("/v1/page").json()
    assert values["samples"] == SAMPLES
    assert values["max_hits"] == 30
    assert [index["name"] for index in values["indexes"]] == ["pets", "bare", "vectors"]
    with pytest.raises(InputError, match="do not exist"):
        read_sample_queries(str(tmp_path / "missing.tsv"))


def marked_words(passage: dict[str, Any]) -> list[str]:
    """Return the words of a passage that are marked."""
    return [passage["text"][mark["start"] : mark["stop"]] for mark in passage["marks"]]


def test_hits_of_bm25_have_documents_of_the_impact_index_and_words_of_their_scores(service: Service) -> None:
    body = {"query": "the cats and a dog", "engine": "bm25", "terms": True, "snippets": True}
    with TestClient(gated(service)) as client:
        hits = client.post("/v1/search", json=body).json()["hits"]
    best = hits[0]
    assert best["document"]["title"] == "Of both", "the text index stores none"
    assert best["snippet"]["text"] == "cats and dogs sleep where it is quiet"
    assert marked_words(best["snippet"]) == ["cats", "dogs"], "not the stopword between them"
    assert {term["token"] for term in best["terms"]} == {"cat", "dog"}
    for hit in hits:
        assert sum(term["product"] for term in hit["terms"]) == pytest.approx(hit["score"], abs=1e-3)


def test_a_score_of_bm25_is_explained_word_by_word(service: Service) -> None:
    body = {"query": "the cats bark", "id": "d0", "engine": "bm25"}
    with TestClient(gated(service)) as client:
        explained = client.post("/v1/explain", json=body).json()
        hits = client.post("/v1/search", json={"query": "the cats bark", "engine": "bm25"}).json()["hits"]
        scores = {hit["id"]: hit["score"] for hit in hits}
        assert explained["score"] == pytest.approx(scores["d0"], abs=1e-3)
        assert [term["token"] for term in explained["terms"]] == ["cat"]
        assert explained["query_only"] == {"bark": 1}
        assert client.post("/v1/explain", json={**body, "id": "d9"}).status_code == 404
        refused = client.post("/v1/explain", json={**body, "index": "bare"})
        assert refused.status_code == 400
        assert "no text index" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "text",
    [
        "The cats' dogs sleep, the cats sleep.\nO'Neil's e-mail: a.b@c.org 3,14",
        "猫が寝る。 cats \U0001f431 dogs 한국어",
        " \t ",
    ],
)
def test_words_that_are_remembered_have_the_places_that_lucene_gives(service: Service, text: str) -> None:
    searcher = next(iter(service.catalog)).text
    assert searcher
    spans_of = WordSpans(searcher)
    expected = [TokenSpan(*span) for span in searcher.word_spans(text)]
    assert spans_of(text) == expected
    assert spans_of(f"{text} {text}") == [
        *expected,
        *(TokenSpan(w, a + len(text) + 1, z + len(text) + 1) for w, a, z in expected),
    ]


@pytest.mark.parametrize("engine", ["impacts", "bm25"])
def test_the_whole_text_is_as_it_is_stored_with_all_words_marked(service: Service, engine: str) -> None:
    body = {"query": "meow", "id": LONG_ID, "engine": engine, "highlights": True}
    with TestClient(gated(service)) as client:
        explained = client.post("/v1/explain", json=body).json()
    assert explained["text"]["text"] == LONG_TEXT
    assert marked_words(explained["text"]) == ["meow", "meow"]
    assert explained["title"]["text"].startswith("Title Title")


# The page in a browser.


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """One Chromium for the module; tests are skipped without it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("Chromium is not installed; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as running_playwright:
        browser = running_playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


type Open = Callable[..., "Page"]


class Pages:
    """Pages of a browser that tests use one after the other; making one takes longer than most tests."""

    def __init__(self, browser: "Browser") -> None:
        self.problems: list[str] = []
        self._context = browser.new_context(reduced_motion="reduce")
        self._context.grant_permissions(["clipboard-read", "clipboard-write"])
        self._context.set_default_timeout(20_000)
        self._used: list[Page] = []
        self._free: list[Page] = []

    def take(self) -> "Page":
        page = self._free.pop() if self._free else self._new_page()
        self._used.append(page)
        return page

    def release(self) -> None:
        """Let the next test use all pages."""
        for page in self._used:
            page.unroute_all(behavior="ignoreErrors")
            page.goto("about:blank")
        self._free += self._used
        self._used.clear()

    def _new_page(self) -> "Page":
        page = self._context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.on("console", lambda line: "Content Security" in line.text and self.problems.append(line.text))
        return page

    def _check(self, url: str) -> None:
        if not url.startswith("http://127.0.0.1:"):
            self.problems.append(f"request of {url}")


@pytest.fixture(scope="module")
def pages(browser: "Browser") -> Pages:
    return Pages(browser)


@pytest.fixture
def open_page(pages: Pages, url: str) -> Iterator[Open]:
    """Returns a function that opens the page with what its address says; errors of the page fail the test."""
    pages.problems.clear()

    def opened(at: str = url, *, width: int = 1280, scheme: Any = "light", **state: Any) -> Any:
        page = pages.take()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        # Others are drawn once in a second.
        page.bring_to_front()
        page.goto(f"{at}/#{urlencode(state, doseq=True)}" if state else at)
        return page

    yield opened
    pages.release()
    assert pages.problems == []


def hits_of(page: "Page", engine: str = "impacts") -> Any:
    return page.locator(f"section[aria-labelledby=list-{engine}] .hit")


def ids(page: "Page", engine: str = "impacts") -> list[str]:
    """Return the ids of the hits of a list, when they are there."""
    hits_of(page, engine).first.wait_for()
    page.wait_for_selector("#lists:not([aria-busy])")
    found: list[str] = hits_of(page, engine).evaluate_all("hits => hits.map((hit) => hit.dataset.id)")
    return found


def wait_for_ids(page: "Page", expected: list[str], engine: str = "impacts") -> None:
    """Wait until the hits of a list are these."""
    page.wait_for_function(
        "([engine, ids]) => JSON.stringify([...document.querySelectorAll("
        "`section[aria-labelledby=list-${engine}] .hit`)].map((hit) => hit.dataset.id)) === JSON.stringify(ids)",
        arg=[engine, expected],
    )


class TestHits:
    def test_they_have_titles_marked_words_scores_and_ranks_in_both_lists(self, open_page: Open) -> None:
        page = open_page()
        page.get_by_role("searchbox", name="Search").fill("cats dogs")
        page.keyboard.press("Enter")
        assert ids(page)[:3] == ["d2", "d0", "d1"]
        assert set(ids(page, "bm25")) == {"d2", "d0", "d1"}
        first = hits_of(page).first
        assert first.locator("h4").inner_text() == "1. Of both"
        assert "BM25: rank " in first.inner_text()
        assert "BM25: not found" in hits_of(page).last.inner_text()
        assert first.locator(".text mark").all_inner_texts() == ["cats", "dogs"]
        assert re.search(r"score\s*\d", first.inner_text())
        assert "Learned: rank 1" in hits_of(page, "bm25").filter(has_text="Of both").inner_text()
        assert page.get_by_role("status").first.inner_text() == "4 hits, 3 with BM25, for “cats dogs”."

    def test_timings_of_both_lists_are_shown_by_stage(self, open_page: Open) -> None:
        page = open_page(q="cats quiet")
        ids(page)
        assert re.search(r"Learned: \d+ ms \(.*searching [\d.]+.*\)", page.locator("#timing").inner_text())
        assert re.search(r"BM25: \d+ ms \(.*searching [\d.]+.*\)", page.locator("#timing").inner_text())

    def test_stopwords_are_not_marked_in_hits_of_bm25(self, open_page: Open) -> None:
        page = open_page(q="a cat and the dog", view="bm25")
        assert "d2" in ids(page, "bm25")
        both = hits_of(page, "bm25").filter(has_text="Of both")
        assert both.locator(".text mark").all_inner_texts() == ["cats", "dogs"]
        assert both.locator(".terms li").count() == 2
        assert page.locator("#expansion").is_hidden()

    def test_hybrid_ranks_by_both(self, open_page: Open) -> None:
        page = open_page(q="cats dogs")
        ids(page)
        page.get_by_role("radio", name="Hybrid").check()
        assert ids(page, "hybrid")[0] == "d2"
        assert page.locator("#lists section").count() == 1
        assert "view=hybrid" in page.url
        hits_of(page, "hybrid").first.get_by_role("button", name="Explain").click()
        page.wait_for_selector(".details table >> nth=1")

    def test_more_come_below_and_get_the_focus(self, open_page: Open) -> None:
        page = open_page(q="sleep", view="impacts")
        assert len(ids(page)) == 10
        page.get_by_role("button", name="More results").click()
        page.wait_for_selector(".hit:nth-child(20)")
        assert page.evaluate("document.activeElement.id") == "hit-impacts-11"
        page.get_by_role("button", name="More results").click()
        page.wait_for_selector(".hit:nth-child(30)")
        assert page.get_by_role("button", name="More results").count() == 0, "30 hits are the most that there are"

    def test_a_long_text_is_a_passage_until_the_whole_is_asked_for(self, open_page: Open) -> None:
        page = open_page(q="meow", view="impacts")
        assert ids(page) == [LONG_ID]
        text = page.locator(".hit .text")
        assert "In the end" not in text.inner_text()
        page.get_by_role("button", name="Whole text").click()
        page.wait_for_function("() => document.querySelector('.hit .text').textContent.includes('In the end meow')")
        assert text.locator("mark").count() == 2
        page.get_by_role("button", name="Less text").click()
        page.wait_for_function("() => !document.querySelector('.hit .text').textContent.includes('In the end meow')")

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ({"q": "elephant"}, "The query has no words that the index could have."),
            ({"q": "cats", "w": ["cat:0", "cats:0", "pet:0"]}, "All words are switched off."),
            ({"q": "bark", "filter": "price>1000"}, "No document that fulfils the filters has any of these words."),
        ],
    )
    def test_a_list_without_hits_says_why(self, open_page: Open, query: dict[str, Any], says: str) -> None:
        page = open_page(view="impacts", **query)
        page.locator("#lists p", has_text=says).wait_for()
        assert page.get_by_role("status").first.inner_text().startswith("0 hits for ")

    def test_texts_of_any_script_are_shown_in_their_direction(self, open_page: Open) -> None:
        page = open_page(q="قط", view="impacts")
        assert ids(page) == ["rtl"]
        assert page.locator(".hit .text").evaluate("text => getComputedStyle(text).direction") == "rtl"
        assert page.locator(".hit .text mark").all_inner_texts() == ["قط"]
        page = open_page(q="猫", view="impacts")
        assert ids(page) == ["文書"]
        assert page.locator(".hit mark").all_inner_texts() == ["猫", "猫"]


class TestExpansion:
    def test_its_words_are_switched_off_weighted_and_added(self, open_page: Open) -> None:
        page = open_page(q="cats")
        wait_for_ids(page, ["d2", "d0", "d1"])
        page.get_by_role("checkbox", name="pet").uncheck()
        wait_for_ids(page, ["d0", "d2"])
        page.get_by_role("checkbox", name="cat", exact=True).uncheck()
        page.get_by_role("checkbox", name="cats", exact=True).uncheck()
        page.get_by_role("slider", name="Weight of pet").focus()
        page.keyboard.press("End")
        wait_for_ids(page, ["d1", "d2", "d0"])
        page.get_by_label("Weight of pet, as a number").fill("0.01")
        page.get_by_label("Add a word").fill("dog")
        page.keyboard.press("Enter")
        wait_for_ids(page, ["d1", "d2", 'x"><b>', "d0"])
        page.get_by_label("Add a word").fill("elephant")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text="'elephant' is not a token").wait_for()
        wait_for_ids(page, ["d1", "d2", 'x"><b>', "d0"])
        page.get_by_role("button", name="Undo all changes").click()
        wait_for_ids(page, ["d2", "d0", "d1"])
        assert page.get_by_role("checkbox", name="dog", exact=True).count() == 0
        assert page.url.endswith("#q=cats")

    def test_of_hundreds_of_words_the_heaviest_are_shown_first(self, open_page: Open) -> None:
        page = open_page(q="many", view="impacts")
        assert ids(page) == ["m"]
        assert page.locator("#entry-count").inner_text() == "301 words"
        assert page.locator(".entry:visible").count() == 10
        page.get_by_role("button", name="Show 291 more words").click()
        assert page.locator(".entry:visible").count() == 301
        page.get_by_role("checkbox", name="t299").uncheck()
        page.get_by_role("button", name="Show fewer").click()
        assert page.locator(".entry:visible").count() == 11, "changed ones stay"
        page.get_by_role("button", name="Explain").click()
        page.get_by_role("button", name="Show 288 more words").wait_for()

    def test_an_answer_that_comes_late_is_dropped(self, open_page: Open) -> None:
        page = open_page(q="cats", view="impacts")
        wait_for_ids(page, ["d2", "d0", "d1"])
        late: list[Any] = []
        held = threading.Event()

        def hold(route: Any) -> None:
            if late:
                route.continue_()
            else:
                late.append(route)
                held.set()

        page.route("**/v1/search", hold)
        with page.expect_request("**/v1/search"):
            page.get_by_role("checkbox", name="pet").uncheck()
        page.get_by_role("checkbox", name="cat", exact=True).uncheck()
        page.get_by_role("checkbox", name="cats", exact=True).uncheck()
        page.get_by_role("checkbox", name="pet").check()
        wait_for_ids(page, ["d1", "d2", "d0"])
        with contextlib.suppress(Exception):
            late[0].continue_()
        page.wait_for_timeout(100)
        assert ids(page) == ["d1", "d2", "d0"]


class TestFilters:
    def test_they_are_added_and_removed(self, open_page: Open) -> None:
        page = open_page(q="cats dogs")
        assert set(ids(page)) >= {"d0", "d1", "d2"}
        page.get_by_label("Filter", exact=True).select_option("price")
        page.get_by_label("How the field is compared").select_option("less than")
        page.get_by_label("Value to compare with").fill("30")
        page.get_by_role("button", name="Add filter").click()
        wait_for_ids(page, ["d0", "d1"])
        assert page.get_by_role("radio", name="Learned").is_checked()
        assert page.get_by_role("radio", name="BM25").is_disabled(), "text indexes have no filters"
        page.get_by_label("Filter", exact=True).select_option("brand")
        page.get_by_label("How the field is compared").select_option("is not")
        assert page.locator("#filter-values option").evaluate_all("all => all.map((one) => one.value)") == [
            "Mio",
            "Rex",
        ]
        page.get_by_label("Value to compare with").fill("Mio")
        page.keyboard.press("Enter")
        wait_for_ids(page, ["d1"])
        assert "with 2 filters" in page.get_by_role("status").first.inner_text()
        page.get_by_role("button", name="Remove the filter price < 30").click()
        page.wait_for_selector("#filters li:only-child")
        wait_for_ids(page, ["d1"])
        page.go_back()
        page.wait_for_selector("#filters li:nth-child(2)")
        page.go_back()
        wait_for_ids(page, ["d0", "d1"])

    def test_one_that_the_service_refuses_is_taken_back_with_the_reason(self, open_page: Open) -> None:
        page = open_page(q="cats", view="impacts")
        wait_for_ids(page, ["d2", "d0", "d1"])
        page.get_by_label("Value to compare with").fill("cheap")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text="cheap").wait_for()
        assert page.get_by_label("Value to compare with").input_value() == "cheap"
        assert page.locator("#filters li").count() == 0
        wait_for_ids(page, ["d2", "d0", "d1"])
        assert "filter" not in page.url

    def test_a_bad_one_in_a_link_can_be_removed(self, open_page: Open) -> None:
        page = open_page(q="cats", filter="colour=red", view="impacts")
        page.get_by_role("alert").filter(has_text="colour").wait_for()
        page.get_by_role("button", name="Remove the filter colour = red").click()
        wait_for_ids(page, ["d2", "d0", "d1"])
        assert page.locator("#problem").inner_text() == ""


def test_an_explanation_adds_up_to_the_score(open_page: Open) -> None:
    page = open_page(q="cats sleep", view="impacts")
    page.get_by_role("button", name="Explain").first.click()
    rows = page.locator(".details tbody tr")
    rows.first.wait_for()
    products = [int(row.locator("td").nth(2).inner_text().replace(",", "")) for row in rows.all()]
    score = page.locator(".hit .score strong").first.inner_text()
    assert sum(products) == int(score.replace(",", ""))
    page.get_by_role("button", name="Explain").first.click()
    assert rows.count() == 0


def test_hits_of_both_lists_are_explained_and_compared(open_page: Open) -> None:
    page = open_page(q="cats dogs")
    ids(page)
    hit = hits_of(page, "bm25").filter(has_text="Of both")
    hit.get_by_role("button", name="Explain").click()
    hit.locator(".details table").nth(1).wait_for()
    assert hit.locator(".details table caption").all_text_contents() == ["BM25, word by word", "Score, word by word"]
    hit.get_by_role("button", name="Compare", exact=True).click()
    assert "d2 is chosen" in page.locator("#compared-text").inner_text()
    hits_of(page).filter(has_text="Of cats").get_by_role("button", name="Compare", exact=True).click()
    dialog = page.get_by_role("dialog", name="Comparison")
    dialog.wait_for()
    assert "Of both (score" in dialog.inner_text()
    assert "Of cats (score" in dialog.inner_text()


class TestLinks:
    def test_one_restores_query_weights_view_explanation_and_comparison(self, open_page: Open) -> None:
        page = open_page(q="cats dogs")
        page.get_by_role("checkbox", name="pet").uncheck()
        page.get_by_role("radio", name="Learned").check()
        page.wait_for_selector("#lists:not(.two):not([aria-busy])")
        page.get_by_role("button", name="Explain").first.click()
        page.wait_for_selector(".details table")
        for _ in range(2):
            page.get_by_role("button", name="Compare", exact=True, pressed=False).first.click()
        page.get_by_role("dialog", name="Comparison").wait_for()
        again = open_page(page.url)
        again.get_by_role("dialog", name="Comparison").wait_for()
        assert again.locator("dialog table").inner_text() == page.locator("dialog table").inner_text()
        again.keyboard.press("Escape")
        assert again.get_by_role("searchbox").input_value() == "cats dogs"
        assert not again.get_by_role("checkbox", name="pet").is_checked()
        assert again.get_by_role("radio", name="Learned").is_checked()
        again.wait_for_selector(".details table")
        assert ids(again) == ids(page)

    def test_one_restores_index_filters_fields_and_the_number_of_hits(self, open_page: Open) -> None:
        page = open_page(q="sleep", view="impacts", k=20)
        assert len(ids(page)) == 20
        page = open_page(q="cats dogs", index="pets", filter=["price<30", "brand=Mio"], field=["brand"])
        assert ids(page) == ["d0"]
        assert page.locator("#filters li").all_inner_texts() == ["price < 30×", "brand = Mio×"]
        assert page.locator(".fields dt").all_inner_texts() == ["brand"]
        assert page.get_by_label("Index").input_value() == "pets"

    def test_back_returns_to_the_query_before(self, open_page: Open) -> None:
        page = open_page(q="cats")
        wait_for_ids(page, ["d2", "d0", "d1"])
        page.get_by_role("searchbox").fill("bark")
        page.get_by_role("button", name="Search", exact=True).click()
        wait_for_ids(page, ["d1", "d2", 'x"><b>'])
        page.go_back()
        wait_for_ids(page, ["d2", "d0", "d1"])
        assert page.get_by_role("searchbox").input_value() == "cats"

    def test_the_button_copies_it(self, open_page: Open) -> None:
        page = open_page(q="cats", view="impacts", w="pet:0")
        wait_for_ids(page, ["d0", "d2"])
        page.get_by_role("button", name="Copy link").click()
        page.get_by_role("status").filter(has_text="The link was copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == page.url

    def test_where_the_browser_does_not_copy_it_is_shown_selected(self, open_page: Open) -> None:
        page = open_page(q="cats", view="impacts")
        wait_for_ids(page, ["d2", "d0", "d1"])
        # As at addresses that are not secure: http, and not this machine.
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.get_by_role("button", name="Copy link").click()
        assert page.get_by_label("Copy this link.").input_value() == page.url
        assert page.evaluate("document.getSelection().toString()") == page.url


def test_fields_of_hits_are_chosen(open_page: Open) -> None:
    page = open_page(q="cats", view="impacts")
    wait_for_ids(page, ["d2", "d0", "d1"])
    first = page.locator(".hit .fields").first
    assert first.inner_text().split() == ["price", "40", "brand", "Mio"]
    page.get_by_text("Fields", exact=True).click()
    page.get_by_role("checkbox", name="price").uncheck()
    page.wait_for_function("() => !document.querySelector('.hit .fields').textContent.includes('price')")
    assert "field=brand" in page.url
    assert page.evaluate("document.activeElement.dataset.field") == "price", "the focus stays"
    page.get_by_role("checkbox", name="price").check()
    page.wait_for_function("() => document.querySelector('.hit .fields').textContent.includes('price')")
    assert "field=" not in page.url
    with page.expect_request("**/v1/search") as sent:
        page.get_by_role("checkbox", name="brand").uncheck()
    assert sent.value.post_data_json["fields"] == ["price", "url"]


def test_fields_that_a_link_leaves_out_can_be_chosen(open_page: Open) -> None:
    page = open_page(q="cats", view="impacts", field="brand")
    wait_for_ids(page, ["d2", "d0", "d1"])
    assert page.locator(".hit .fields").first.inner_text().split() == ["brand", "Mio"]
    page.get_by_text("Fields", exact=True).click()
    page.get_by_role("checkbox", name="price").check()
    page.wait_for_function("() => document.querySelector('.hit .fields').textContent.includes('price')")
    assert "field=" not in page.url, "these are all fields that are known"


def test_documents_with_html_are_shown_as_text_and_never_run(open_page: Open) -> None:
    page = open_page(q="bark", explain='x"><b>')
    page.wait_for_selector(".details table")
    hit = page.locator(".hit").nth(2)
    assert hit.locator("h4").inner_text() == f"3. {SCRIPT}"
    assert SCRIPT in hit.locator(".text").inner_text()
    assert page.locator("main img, main script, main b, main a[href^=javascript]").count() == 0
    page.wait_for_timeout(100)
    assert page.title() == "bark – pets"
    page.get_by_role("searchbox").fill(SCRIPT)
    page.keyboard.press("Enter")
    page.locator("#status", has_text="<img").wait_for()
    assert "run" not in page.title().replace(SCRIPT, "")
    link = open_page(q="cats").get_by_role("link", name="https://example.org")
    assert link.first.get_attribute("href") == "https://example.org/cats?a=1&b=2"


class TestIndexes:
    def test_one_without_bm25_and_documents_shows_one_list_of_ids(self, open_page: Open) -> None:
        page = open_page(q="cats")
        ids(page, "bm25")
        page.get_by_label("Index").select_option("bare")
        page.wait_for_selector("#lists:not(.two):not([aria-busy]) .hit")
        assert ids(page) == ["d2", "d0", "d1"]
        assert page.locator("h4").first.inner_text() == "1. d2"
        assert page.get_by_text("This index stores no documents").is_visible()
        assert page.get_by_role("radio").count() == 0
        assert page.locator("#filtering, #fields-choice").filter(visible=True).count() == 0
        assert "index=bare" in page.url

    def test_one_without_an_encoder_says_so(self, open_page: Open) -> None:
        page = open_page(q="cats", index="vectors")
        page.get_by_text("This index names no encoder").wait_for()
        assert page.get_by_role("searchbox").is_disabled()
        page.get_by_label("Index").select_option("bare")
        assert page.get_by_role("searchbox").is_enabled()

    def test_one_that_is_not_served_is_the_first(self, open_page: Open) -> None:
        assert ids(open_page(q="cats", index="gone", view="impacts")) == ["d2", "d0", "d1"]


def test_sample_queries_begin_a_search(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="cats sleep").wait_for()
    assert page.locator("#samples button").all_inner_texts() == SAMPLES[:6]
    assert page.get_by_text("38 documents, ranked by learned weights (encoder) and by BM25.").is_visible()
    page.get_by_role("button", name="Others").click()
    page.get_by_role("button", name="dogs bark").click()
    assert ids(page)[0] == "d1"
    assert page.get_by_role("searchbox").input_value() == "dogs bark"
    page.get_by_role("button", name="Another sample query").click()
    page.wait_for_function("() => document.querySelector('#query').value !== 'dogs bark'")
    assert page.get_by_role("searchbox").input_value() in SAMPLES


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "message", "says"),
        [
            (503, "Too many requests are waiting.", "The service is busy, or is about to end. Try again in 3 seconds."),
            (504, "The request took too long.", "The search took longer than the service allows."),
            (500, "The request failed.", "The search failed inside the service."),
            (400, "k is 7. Expected at most 5.", "k is 7. Expected at most 5."),
        ],
    )
    def test_those_of_the_service_are_said_in_words(
        self, open_page: Open, status: int, message: str, says: str
    ) -> None:
        page = open_page()
        body = json.dumps({"error": {"type": "x", "message": message}})
        page.route("**/v1/search", lambda route: route.fulfill(status=status, body=body, headers={"Retry-After": "3"}))
        page.get_by_role("searchbox").fill("cats")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text=says).wait_for()
        page.unroute("**/v1/search")
        if status != 400:
            page.get_by_role("button", name="Try again").click()
            assert ids(page)[0] == "d2"
            assert page.locator("#problem").inner_text() == ""

    def test_a_shard_that_does_not_answer_is_named(self, open_page: Open) -> None:
        page = open_page()
        message = "Index pets cannot be searched completely: shard pets-shard-0001 did not answer within 5 s."
        body = json.dumps({"error": {"type": "missing_shards", "message": message}})
        page.route("**/v1/search", lambda route: route.fulfill(status=504, body=body))
        page.get_by_role("searchbox").fill("cats")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text=message).wait_for()

    def test_hits_without_those_of_a_shard_are_said_to_be_incomplete(self, open_page: Open) -> None:
        page = open_page()

        def without_a_shard(route: Any) -> None:
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "missing_shards": ["pets-shard-0001"]})

        page.route("**/v1/search", without_a_shard)
        page.get_by_role("searchbox").fill("cats")
        page.keyboard.press("Enter")
        says = "Incomplete: no answer from the shard pets-shard-0001, whose documents are not among the hits."
        page.get_by_role("alert").filter(has_text=says).wait_for()
        assert ids(page)[0] == "d2"
        page.unroute("**/v1/search")
        page.get_by_role("searchbox").fill("cats dogs")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text=says).wait_for(state="hidden")

    @pytest.mark.parametrize("path", ["**/v1/page", "**/v1/encode"], ids=["at the beginning", "later"])
    def test_a_service_that_is_gone_is_said_in_words(self, open_page: Open, url: str, path: str) -> None:
        page = open_page("about:blank")
        page.route(path, lambda route: route.abort())
        page.goto(f"{url}/#q=cats")
        page.get_by_role("alert").filter(has_text="The service cannot be reached.").wait_for()
        page.unroute(path)
        page.get_by_role("button", name="Try again").click()
        assert ids(page)[0] == "d2"

    def test_a_service_with_keys_asks_for_one(self, open_page: Open, service: Service) -> None:
        with running(service, ApiKeys([KEY])) as url:
            page = open_page(url, q="cats")
            field = page.get_by_label("API key")
            field.wait_for()
            assert page.get_by_role("searchbox").count() == 0
            field.fill("wrong")
            page.keyboard.press("Enter")
            page.get_by_role("alert").filter(has_text="does not know this key").wait_for()
            field.fill(KEY)
            page.keyboard.press("Enter")
            assert ids(page)[0] == "d2"
            assert KEY not in page.url
            page.reload()
            assert ids(page)[0] == "d2"
            page.goto("about:blank")


def tab_to(page: "Page", name: str) -> None:
    """Press Tab until a control with this name or text has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(({labels, ariaLabel, textContent}) => ariaLabel ?? labels?.[0]?.textContent ?? textContent)"
            "(document.activeElement)"
        )
        if focused.strip().startswith(name):
            return
    pytest.fail(f"{name} is not reached by Tab")


def test_all_works_by_keyboard_alone(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="cats sleep").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("cats")
    page.keyboard.press("Enter")
    wait_for_ids(page, ["d2", "d0", "d1"])
    tab_to(page, "pet")
    page.keyboard.press("Space")
    wait_for_ids(page, ["d0", "d2"])
    tab_to(page, "Weight of pet")
    page.keyboard.press("ArrowRight")
    wait_for_ids(page, ["d2", "d0", "d1"])
    tab_to(page, "Add a word")
    page.keyboard.type("dog")
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="dog").wait_for()
    tab_to(page, "Undo all changes")
    page.keyboard.press("Enter")
    wait_for_ids(page, ["d2", "d0", "d1"])
    tab_to(page, "Side by side")
    page.keyboard.press("ArrowRight")
    ids(page, "hybrid")
    page.keyboard.press("ArrowRight")
    wait_for_ids(page, ["d2", "d0", "d1"])
    tab_to(page, "Explain")
    page.keyboard.press("Enter")
    page.wait_for_selector(".details table")
    tab_to(page, "Compare")
    page.keyboard.press("Enter")
    tab_to(page, "Explain")
    tab_to(page, "Compare")
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="Comparison").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Compare"


def test_programs_that_read_the_screen_find_parts_names_and_news(open_page: Open) -> None:
    page = open_page(q="cats", view="impacts")
    wait_for_ids(page, ["d2", "d0", "d1"])
    parts: list[tuple[Any, str | None]] = [
        ("search", None),
        ("main", None),
        ("region", "What is searched for"),
        ("region", "Results"),
        ("region", "Learned weights"),
        ("group", "Ranked by"),
        ("group", "Filters"),
        ("article", "1. Of both"),
        ("heading", "1. Of both"),
        ("slider", "Weight of cat"),
        ("spinbutton", "Weight of cat, as a number"),
        ("list", "Words that the score comes from"),
    ]
    assert [part for part in parts if not page.get_by_role(part[0], name=part[1]).count()] == []
    assert page.get_by_role("button", name="Explain").first.get_attribute("aria-describedby") == "hit-impacts-1"
    page.get_by_role("checkbox", name="pet").uncheck()
    page.get_by_role("status").filter(has_text="2 hits for “cats”, with 1 changed weight.").wait_for()
    page.get_by_role("button", name="Explain").first.click()
    table = page.get_by_role("table", name="Score, word by word")
    table.wait_for()
    assert table.get_by_role("columnheader").all_inner_texts() == ["Word", "Query", "Document", "Product", "Share"]
    assert table.get_by_role("rowheader", name="cat", exact=True).count() == 1
    page.get_by_role("link", name="Skip to the results").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"


def test_nothing_is_told_by_colour_alone(open_page: Open) -> None:
    page = open_page(q="cats dogs sleep")
    ids(page)
    names = ["fontWeight", "textDecorationStyle", "textDecorationLine"]
    style = f"(element) => {json.dumps(names)}.map((name) => getComputedStyle(element)[name])"
    much = page.locator(".text mark.much").first.evaluate(style)
    some = page.locator("mark.some, mark.little").first.evaluate(style)
    assert much[2] == some[2] == "underline"
    assert much[:2] != some[:2]
    chosen, other = (page.locator(f"#views input{kind} + span").first for kind in (":checked", ":not(:checked)"))
    assert chosen.evaluate(style)[2] == "underline"
    assert other.evaluate(style)[2] == "none"
    page.get_by_role("checkbox", name="pet").uncheck()
    assert page.locator(".entry.off .token span").evaluate(style)[2] == "line-through"
    assert "(changed)" in page.locator(".entry.edited .token span").evaluate(
        "(element) => getComputedStyle(element, '::after').content"
    )


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_it_is_light_or_dark_as_the_system_is(open_page: Open, scheme: str, is_dark: bool) -> None:
    page = open_page(scheme=scheme)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", colour)[0]) < 128) == is_dark


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_is_wider_than_the_page(open_page: Open, width: int) -> None:
    explained = [LONG_ID, 'x"><b>']
    page = open_page(width=width, q="meow bark قط", explain=explained, compare=LONG_ID, filter=f"brand!={80 * 'b'}")
    page.get_by_role("button", name="Remove the filter").click()
    page.wait_for_selector(f".hit[data-id={LONG_ID}] .details table")
    page.evaluate("document.getElementById('expansion-details').open = true")
    page.get_by_role("button", name="Whole text").first.click()
    page.wait_for_selector("h4.whole")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def examined(browser: "Browser", url: str) -> "Iterator[Page]":
    """A page with axe-core; Chromium lets it in only where the page's own policy is not kept."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-core is not installed; it comes with axe-playwright-python")
    with contextlib.closing(browser.new_context(bypass_csp=True, reduced_motion="reduce")) as context:
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.goto(url)
        page.evaluate(Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing(examined: "Page", width: int, scheme: Any) -> None:
    page = examined
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.bring_to_front()
    page.evaluate("history.pushState(null, '', '/'); dispatchEvent(new PopStateEvent('popstate'))")
    page.get_by_role("button", name="cats sleep").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="dogs", exact=True).click()
    page.get_by_role("button", name="Explain").first.click()
    page.wait_for_selector(".details table")
    page.get_by_label("Add a word").evaluate("field => { document.getElementById('expansion-details').open = true; }")
    page.get_by_label("Add a word").fill("elephant")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="elephant").wait_for()
    page.get_by_text("Fields", exact=True).click()
    assert violations(page) == []
    page.get_by_label("Value to compare with").fill("9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#unfiltered:visible")
    for _ in range(2):
        page.get_by_role("button", name="Compare", exact=True, pressed=False).first.click()
    page.get_by_role("dialog").wait_for()
    assert violations(page, "dialog") == []
    page.keyboard.press("Escape")


def violations(page: "Page", part: str = "html") -> list[str]:
    """Return what axe-core finds wrong in a part of the page, best practices included."""
    found: list[dict[str, Any]] = page.evaluate("part => axe.run(part).then((result) => result.violations)", part)
    return [f"{rule['impact']} {rule['id']}: {[node['html'][:200] for node in rule['nodes']]}" for rule in found]
