"""axe-core, which finds what shuts people out; it is fetched once, from the npm registry."""

import base64
import hashlib
import os
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.request import urlopen

from playwright.sync_api import Page

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
REGISTRY = "https://registry.npmjs.org"  # unless npm's own variable names another one
TIMEOUT = 60  # seconds
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = "async tags => (await axe.run(document, {runOnly: tags})).violations"


def fetch(folder: Path) -> str:
    """Return the script of axe-core, from the folder if it is there already.

    Raises:
        OSError: The registry can't be reached.
    """
    file = folder / f"axe-{VERSION}.js"
    if not file.exists():
        registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
        with urlopen(f"{registry}/axe-core/-/axe-core-{VERSION}.tgz", timeout=TIMEOUT) as answer:
            package = answer.read()
        digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
        assert digest == SHA512, f"axe-core {VERSION} is not what it was: sha512-{digest}"
        with tarfile.open(fileobj=BytesIO(package)) as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script is not None
            # Another process may do the same now; each sees a whole file or none.
            with NamedTemporaryFile(dir=folder, delete=False) as new:
                new.write(script.read())
        Path(new.name).replace(file)
    return file.read_text(encoding="utf-8")


class Axe:
    """axe-core for pages whose policy admits no script from elsewhere."""

    def __init__(self, script: str) -> None:
        self._script = script

    def violations(self, page: Page) -> list[str]:
        """Return which rules the page breaks, and where."""
        page.evaluate(self._script)
        return [
            f"{found['id']}: {node['html']} {node['failureSummary']}"
            for found in page.evaluate(RUN, TAGS)
            for node in found["nodes"]
        ]
