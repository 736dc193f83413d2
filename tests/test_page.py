"""The page of the command `serve`, in a headless Chromium."""

import contextlib
import importlib.util
import json
import os
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

from splade_anserini.errors import InputError
from splade_anserini.lucene import start_jvm
from splade_anserini.serving.api_keys import ApiKeys
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
    "dogs": {"dog": 2.0, "pet": 0.75},
    "sleep": {"sleep": 1.5},
    "bark": {"dog": 1.0, "noise": 1.25},
    "quiet": {"noise": 0.5},
}
SCRIPT = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
DOCUMENTS = [
    {"id": "d0", "title": "Of cats", "text": "cats sleep", "url": "https://example.org/cats?a=1&b=2"},
    {"id": "d1", "title": "Of dogs", "text": "dogs bark"},
    {"id": "d2", "title": "Of both", "text": "cats and dogs sleep where it is quiet"},
    {
        "id": 'x"><b>',
        "title": SCRIPT,
        "text": f"they {SCRIPT} bark",
        "url": "javascript:document.title='run'",
        "note": SCRIPT,
    },
    *({"id": f"n{number}", "title": "", "text": f"sleep {number * 'x '}"} for number in range(30)),
]
SAMPLES = ["cats sleep", "dogs", "quiet", "cats", "bark", "sleep", "cats dogs", "dogs bark"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An impact index with stored documents, and a text index without."""
    home = tmp_path_factory.mktemp("page")
    write_dictionary_encoder(home / "encoder", EXPANSIONS)
    corpus = home / "corpus.jsonl"
    corpus.write_text("\n".join(map(json.dumps, DOCUMENTS)))
    (home / "topics.tsv").write_text("".join(f"{number}\t{text}\n" for number, text in enumerate([*SAMPLES, "dogs"])))
    for arguments in [
        ("encode", "--corpus", corpus, "--encoder", home / "encoder", "--output", home / "impacts"),
        ("index", "--input", home / "impacts", "--index", home / "pets", "--store-text", "--documents", corpus),
        ("index", "--bm25", "--input", corpus, "--index", home / "texts"),
    ]:
        made = run_stage(*arguments)
        assert made.code == 0, made.err
    start_jvm()
    return home


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Service]:
    served = ServedOptions(
        index=(f"pets={home / 'pets'}", f"more={home / 'pets'}"),
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
    assert [index["name"] for index in values["indexes"]] == ["pets", "more"]
    with pytest.raises(InputError, match="do not exist"):
        read_sample_queries(str(tmp_path / "missing.tsv"))


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


@pytest.fixture
def open_page(browser: "Browser", url: str) -> Iterator[Open]:
    """Returns a function that opens the page with what its address says; errors of the page fail the test."""
    contexts = []
    problems: list[str] = []

    def opened(
        at: str = url, *, width: int = 1280, scheme: str = "light", bypass_csp: bool = False, **state: Any
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
            bypass_csp=bypass_csp,
        )
        context.set_default_timeout(5000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: request.url.startswith(at.partition("#")[0]) or problems.append(request.url))
        page.on("console", lambda message: "Content Security" in message.text and problems.append(message.text))
        page.goto(f"{at}/#{urlencode(state, doseq=True)}" if state else at)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def ids(page: "Page", engine: str = "impacts") -> list[str]:
    """Return the ids of the hits of a list, when they are there."""
    page.wait_for_selector(f"section[aria-labelledby=list-{engine}] .hit")
    page.wait_for_selector("#lists:not([aria-busy])")
    hits = page.locator(f"section[aria-labelledby=list-{engine}] .hit")
    return [hit.get_attribute("data-id") or "" for hit in hits.all()]


def wait_for_ids(page: "Page", expected: list[str], engine: str = "impacts") -> None:
    """Wait until the hits of a list are these."""
    page.wait_for_function(
        "([engine, ids]) => JSON.stringify([...document.querySelectorAll("
        "`section[aria-labelledby=list-${engine}] .hit`)].map((hit) => hit.dataset.id)) === JSON.stringify(ids)",
        arg=[engine, expected],
    )


def test_a_query_gives_hits_with_titles_marked_words_and_ranks_in_both_lists(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("searchbox", name="Search").fill("cats dogs")
    page.keyboard.press("Enter")
    assert ids(page)[:3] == ["d2", "d0", "d1"]
    assert set(ids(page, "bm25")) == {"d2", "d0", "d1"}
    first = page.locator(".hit").first
    assert first.locator("h4").inner_text() == "1. Of both"
    assert "BM25: rank " in first.inner_text()
    assert first.locator(".text mark").all_inner_texts() == ["cats", "dogs"]
    assert "Learned: rank 1" in page.locator("section[aria-labelledby=list-bm25] .hit", has_text="Of both").inner_text()
    assert page.get_by_role("status").first.inner_text() == "4 hits, 3 with BM25, for “cats dogs”."
    assert "ms (" in page.locator("#timing").inner_text()


def test_words_of_the_expansion_are_switched_off_weighted_and_added(open_page: Open) -> None:
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


def test_a_link_restores_query_weights_view_explanation_and_comparison(open_page: Open) -> None:
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


def test_back_returns_to_the_query_before(open_page: Open) -> None:
    page = open_page(q="cats")
    wait_for_ids(page, ["d2", "d0", "d1"])
    page.get_by_role("searchbox").fill("bark")
    page.get_by_role("button", name="Search", exact=True).click()
    wait_for_ids(page, ["d1", "d2", 'x"><b>'])
    page.go_back()
    wait_for_ids(page, ["d2", "d0", "d1"])
    assert page.get_by_role("searchbox").input_value() == "cats"


def test_an_explanation_adds_up_to_the_score(open_page: Open, service: Service) -> None:
    page = open_page(q="cats sleep", view="impacts")
    page.get_by_role("button", name="Explain").first.click()
    rows = page.locator(".details tbody tr")
    rows.first.wait_for()
    products = [int(row.locator("td").nth(2).inner_text().replace(",", "")) for row in rows.all()]
    score = page.locator(".hit .score strong").first.inner_text()
    assert sum(products) == int(score.replace(",", ""))
    page.get_by_role("button", name="Explain").first.click()
    assert rows.count() == 0


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


def test_more_results_come_below_and_get_the_focus(open_page: Open) -> None:
    page = open_page(q="sleep", view="impacts")
    assert len(ids(page)) == 10
    page.get_by_role("button", name="More results").click()
    page.wait_for_selector(".hit:nth-child(20)")
    assert page.evaluate("document.activeElement.id") == "hit-impacts-11"
    page.get_by_role("button", name="More results").click()
    page.wait_for_selector(".hit:nth-child(30)")
    assert page.get_by_role("button", name="More results").count() == 0, "30 hits are the most that the service gives"


def test_an_index_without_bm25_is_chosen_and_shows_one_list(open_page: Open) -> None:
    page = open_page(q="cats")
    ids(page, "bm25")
    page.get_by_label("Index").select_option("more")
    page.wait_for_selector("#lists:not(.two):not([aria-busy]) .hit")
    assert page.get_by_role("radio").count() == 0
    assert "index=more" in page.url


def test_sample_queries_begin_a_search(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="cats sleep").wait_for()
    assert page.locator("#samples button").all_inner_texts() == SAMPLES[:6]
    page.get_by_role("button", name="Others").click()
    page.get_by_role("button", name="dogs bark").click()
    assert ids(page)[0] == "d1"
    assert page.get_by_role("searchbox").input_value() == "dogs bark"


@pytest.mark.parametrize(
    ("status", "message", "says"),
    [
        (503, "Too many requests are waiting.", "The service is busy, or is about to end. Try again in 3 seconds."),
        (504, "The request took too long.", "The search took longer than the service allows."),
        (500, "The request failed.", "The search failed inside the service."),
        (400, "k is 7. Expected at most 5.", "k is 7. Expected at most 5."),
    ],
)
def test_errors_of_the_service_are_said_in_words(open_page: Open, status: int, message: str, says: str) -> None:
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


def test_a_service_that_is_gone_is_said_in_words(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="cats sleep").wait_for()
    page.route("**/v1/**", lambda route: route.abort())
    page.get_by_role("button", name="cats sleep").click()
    page.get_by_role("alert").filter(has_text="The service cannot be reached.").wait_for()


def test_an_answer_that_comes_late_is_dropped(open_page: Open) -> None:
    page = open_page(q="cats", view="impacts")
    wait_for_ids(page, ["d2", "d0", "d1"])
    late: list[Any] = []

    def hold(route: Any) -> None:
        if late:
            route.continue_()
        else:
            late.append(route)

    page.route("**/v1/search", hold)
    page.get_by_role("checkbox", name="pet").uncheck()
    page.wait_for_timeout(250)
    page.get_by_role("checkbox", name="cat", exact=True).uncheck()
    page.get_by_role("checkbox", name="cats", exact=True).uncheck()
    page.get_by_role("checkbox", name="pet").check()
    wait_for_ids(page, ["d1", "d2", "d0"])
    with contextlib.suppress(Exception):
        late[0].continue_()
    page.wait_for_timeout(100)
    assert ids(page) == ["d1", "d2", "d0"]


def test_a_service_with_keys_asks_for_one(open_page: Open, service: Service) -> None:
    with running(service, ApiKeys([KEY])) as url:
        page = open_page(url, q="cats")
        field = page.get_by_label("API key")
        field.fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text="does not know this key").wait_for()
        field.fill(KEY)
        page.keyboard.press("Enter")
        assert ids(page)[0] == "d2"
        assert KEY not in page.url
        page.reload()
        assert ids(page)[0] == "d2"
        page.close()


def test_all_works_by_keyboard_alone(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="cats sleep").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("cats")
    page.keyboard.press("Enter")
    wait_for_ids(page, ["d2", "d0", "d1"])
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(({tagName, type, textContent, ariaLabel}) => "
                "`${tagName} ${type ?? ''} ${ariaLabel ?? textContent.trim()}`)(document.activeElement)"
            )
        )
    for control in ["INPUT checkbox ", "INPUT range Weight of cat", "INPUT radio ", "BUTTON button Explain"]:
        assert control in reached, reached
    assert "BUTTON button Compare" in reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(open_page: Open, width: int, scheme: str) -> None:
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-core is not installed; it comes with axe-playwright-python")
    axe = Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")
    page = open_page(width=width, scheme=scheme, bypass_csp=True)
    page.get_by_role("button", name="cats sleep").wait_for()
    page.evaluate(axe)
    assert violations(page) == []
    page.get_by_role("button", name="cats sleep").click()
    page.get_by_role("button", name="Explain").first.click()
    page.wait_for_selector(".details table")
    page.evaluate("document.getElementById('expansion-details').open = true")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for _ in range(2):
        page.get_by_role("button", name="Compare", exact=True, pressed=False).first.click()
    page.get_by_role("dialog").wait_for()
    assert violations(page) == []


def violations(page: "Page") -> list[str]:
    """Return what axe-core finds wrong, best practices included."""
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{rule['impact']} {rule['id']}: {[node['html'][:200] for node in rule['nodes']]}" for rule in found]
