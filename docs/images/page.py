"""Make the images of the page again: python docs/images/page.py http://127.0.0.1:8080

The service runs as docs/serve.md shows it, with the collection that ships:
splade-anserini serve --index cranfield=INDEX --bm25 TEXT-INDEX --sample-queries cranfield --cache 0
"""

import io
import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, sync_playwright

QUERY = "heat conduction in composite slabs"
IMAGES = [
    ("page.png", 1280, 860, "light", {"q": QUERY, "w": ["policy:0", "thermal:1.6"]}),
    ("page-phone.png", 390, 780, "dark", {"q": QUERY}),
]


def take(address: str) -> None:
    """Write the images beside this file, with few colours, so that they are small."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        warm_up(browser.new_page(), address)
        for name, width, height, scheme, state in IMAGES:
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            page.goto(f"{address}/#{urlencode(state, doseq=True)}")
            for _ in range(5):
                page.reload()
                page.wait_for_selector("#lists:not([aria-busy]) .hit")
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(128, dither=Image.Dither.NONE)
            image.save(Path(__file__).with_name(name), optimize=True)
        browser.close()


def warm_up(page: Page, address: str) -> None:
    """Search for other queries, so that the times in the images are those of a service that runs for a while."""
    page.goto(address)
    for _ in range(20):
        page.locator("#samples button:visible, #next-sample:visible").first.click()
        page.wait_for_selector("#lists:not([aria-busy]) .hit")


if __name__ == "__main__":
    take(sys.argv[1])
