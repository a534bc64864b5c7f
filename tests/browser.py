"""The browser of the tests of the board, if this machine has one.

It is Chromium as Debian brings it in ``chromium-headless-shell``, with which all takes 58 seconds
where ``chromium`` takes 137; or what ``LEADS_TEST_BROWSER`` names, which then has to be there.
"""

import os
import shutil
from importlib.util import find_spec

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
GIVEN = os.environ.get("LEADS_TEST_BROWSER")
EXECUTABLE = GIVEN or next(filter(None, map(shutil.which, NAMES)), None)
IS_THERE = bool(GIVEN) or (EXECUTABLE is not None and find_spec("pytest_playwright") is not None)
LEFT_OUT = (
    "left out: tests/board, which needs a browser: install Debian's package "
    "chromium-headless-shell, or name an executable of Chromium by LEADS_TEST_BROWSER"
)
