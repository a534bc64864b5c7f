"""The pictures of README.md and docs/board.md, from the stub's leads: ``make screenshots``."""

from pathlib import Path
from threading import Thread

from playwright.sync_api import expect, sync_playwright

from leads_service.stub import Stub
from leads_service.stub.server import listen
from tests import browser

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"board": "", "progress": "/progress?span=1y"}


def main() -> None:
    """Write docs/board.png and docs/progress.png."""
    server, url = listen(Stub(leads=400, log_level="error"))
    Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        it = playwright.chromium.launch(executable_path=browser.EXECUTABLE, args=["--no-sandbox"])
        page = it.new_page(viewport={"width": 1280, "height": 720})
        for name, path in PAGES.items():
            page.goto(f"{url}/board{path}")
            expect(page.get_by_role("main")).to_be_visible()
            page.wait_for_load_state("networkidle")
            page.screenshot(path=DOCS / f"{name}.png", full_page=True)
        it.close()
    server.shutdown()


if __name__ == "__main__":
    main()
