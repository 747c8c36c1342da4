"""A headless Chromium, driven over the DevTools protocol."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
)
PATIENCE = 60.0


class Tab:
    """One tab. What it logs as errors, and every address that it asks for, is kept until the next page is opened."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.number = 0
        self.session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.events: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command; what the browser answers."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, url: str) -> None:
        """Opens a page, and waits until all of it is loaded."""
        self.errors, self.requests, self.events = [], [], []
        answer = self.tell("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        if "loaderId" in answer:  # otherwise only the place within the page is another
            self.wait_for("Page.loadEventFired")

    def click(self, selector: str) -> None:
        """Clicks on a link, and waits for the page that it leads to."""
        self.events = []
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait_for("Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def resize(self, width: int, height: int = 844) -> None:
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, scheme: str) -> None:
        """Asks pages for their "light" or "dark" colours."""
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def wait_for(self, event: str) -> None:
        while event not in self.events:
            self._receive()

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self.socket.recv(timeout=PATIENCE))
        method, parameters = message.get("method", ""), message.get("params", {})
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        if method == "Runtime.consoleAPICalled":
            self.errors.append(str(parameters["args"]))
        if method == "Log.entryAdded":
            self.errors.append(parameters["entry"]["text"])
        return message


@contextmanager
def open_tab(profile: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, which ends with it.

    Args:
        profile: an empty folder for the browser's own files.
    """
    assert PROGRAM is not None
    environment = os.environ | {"HOME": str(profile)}
    browser = subprocess.Popen(
        [PROGRAM, *OPTIONS, f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        with connect(_address(browser, profile), max_size=None, proxy=None) as socket:
            yield Tab(socket)
            socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
            browser.wait(PATIENCE)
    finally:
        browser.kill()
        browser.wait()


def _address(browser: subprocess.Popen[bytes], profile: Path) -> str:
    """Where the browser listens, which it writes down once it does."""
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert browser.poll() is None, f"{PROGRAM} ended with status {browser.returncode}"
        if told.is_file() and len(lines := told.read_text().split()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise AssertionError(f"{PROGRAM} does not listen after {PATIENCE:.0f} s")
