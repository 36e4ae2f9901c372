"""The page of `mt serve` in a browser without a window: typed in, pointed at, chosen from, by mouse and by keyboard.

Chromium is driven through its own protocol over two pipes; without Chromium these tests are skipped.
"""

import json
import os
import shutil
import subprocess
import tempfile

import pytest
from test_serve import GOLDEN, Server, turned

import mt

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
]  # fmt: skip
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}


class Browser:
    """One page of a browser."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        ours, theirs = os.pipe(), os.pipe()

        def pipes():  # the browser reads from 3 and writes to 4
            read, write = os.dup(ours[0]), os.dup(theirs[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [BROWSER, *FLAGS, f"--user-data-dir={self.folder}", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=pipes,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self.out, self.into = os.fdopen(ours[1], "wb", 0), os.fdopen(theirs[0], "rb")
        self.number, self.session, self.buffer = 0, None, b""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.complaints = []

    def close(self):
        self.process.kill()
        self.process.wait()
        self.out.close()
        self.into.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, **params):
        self.number += 1
        session = {"sessionId": self.session} if self.session else {}
        message = {"id": self.number, "method": method, "params": params, **session}
        self.out.write(json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self.number:
                assert "error" not in said, said
                return said["result"]
            advice = said.get("params", {}).get("entry", {}).get("source") == "recommendation"
            if said.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"} and not advice:
                self.complaints.append(said["params"])

    def _read(self):
        while b"\0" not in self.buffer:
            more = self.into.read1(1 << 16)
            assert more, "the browser has ended"
            self.buffer += more
        said, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(said)

    def run(self, script):
        """The value of an expression in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition):
        """Wait until an expression is true, looked at whenever the page is drawn."""
        self.run(
            "new Promise((done, fail) => { const end = Date.now() + 60000; (function look() {"
            f"if ({condition}) done(); else if (Date.now() > end) fail(new Error('never: ' + {json.dumps(condition)}));"
            "else requestAnimationFrame(look); })(); })"
        )

    def open(self, url, width=1000, height=800, dark=False):
        self.complaints.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && document.getElementById('source')?.options.length > 0")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key):
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def pointer(self, kind, selector):
        x, y = self.run(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        click = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **click)

    def click(self, selector):
        self.pointer("mouseMoved", selector)
        self.pointer("mousePressed", selector)
        self.pointer("mouseReleased", selector)

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    back = turned(tmp_path_factory.mktemp("models") / "back")
    with Server(GOLDEN, back, "--max-characters", 300) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    found = Browser()
    yield found
    found.close()


@pytest.fixture(scope="module")
def translator():
    return mt.load(GOLDEN, device="cpu")


SHOWN = "document.querySelectorAll('#output .word').length > 0 && !output.classList.contains('stale')"


def page(browser, server, address="source=en&target=de", **how):
    browser.open(f"{server.url}/#{address}", **how)


def test_typing_translates_and_the_address_keeps_the_state(browser, server, translator):
    page(browser, server)
    browser.type("one two")
    browser.until(SHOWN)
    assert browser.text("#output") == translator.translate("one two")
    assert browser.run("location.hash") == "#source=en&target=de&q=one+two"
    assert browser.run("performance.getEntriesByType('resource').every(one => one.name.startsWith(location.origin))")
    assert browser.run("document.getElementById('output').lang") == "de"
    assert browser.complaints == []
    page(browser, server, "source=en&target=de&q=three")
    browser.until(SHOWN)
    assert browser.text("#output") == translator.translate("three")


def test_pointing_at_a_word_shows_its_source(browser, server):
    page(browser, server, "source=en&target=de&q=one+two+three")
    browser.until(SHOWN)
    linked = server.post("/align", q="one two three", source="en", target="de").json["links"]
    word = linked[0][1]
    browser.pointer("mouseMoved", f"#output [data-n='{word}']")
    browser.until("document.querySelector('#output .word.at')")
    lit = browser.run("[...document.querySelectorAll('#mirror .linked')].map(one => Number(one.dataset.n))")
    strongest = max((link for link in linked if link[1] == word), key=lambda link: link[2])
    assert strongest[0] in lit or strongest[2] < 0.2
    assert browser.run("document.querySelector('#mirror').textContent.trim()") == "one two three"


def test_another_word_is_chosen_with_the_mouse(browser, server):
    page(browser, server, "source=en&target=de&q=one+two+three")
    browser.until(SHOWN)
    before = browser.text("#output")
    browser.click("#output [data-n='1']")
    browser.until("!menu.hidden && menu.children.length > 1")
    choices = server.post(
        "/alternatives", q="one two three", source="en", target="de", prefix=before.split()[0], alternatives=6
    ).json["alternatives"]
    browser.click(".choice:nth-child(2)")
    browser.until(f"output.textContent !== {json.dumps(before)} && document.activeElement.dataset.n === '1'")
    assert browser.text("#output") == choices[1]["translatedText"]
    assert browser.text("#output [data-n='1']") == choices[1]["word"]
    assert browser.run("text.value") == "one two three"
    assert browser.complaints == []


def test_the_keyboard_alone_is_enough(browser, server):
    page(browser, server)
    browser.type("one two three")
    browser.until(SHOWN)
    before = browser.text("#output")
    browser.run("document.querySelector('#output .word').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.dataset.n") == "1"
    browser.press("Enter")
    browser.until("!menu.hidden && document.activeElement.className === 'choice'")
    browser.press("Escape")
    assert browser.run("menu.hidden && document.activeElement.dataset.n") == "1"
    browser.press("Enter")
    browser.until("!menu.hidden && document.activeElement.className === 'choice'")
    browser.press("ArrowDown")
    browser.press("Enter")
    browser.until(f"output.textContent !== {json.dumps(before)} && document.activeElement.dataset.n === '1'")


def test_an_error_is_told_and_the_text_stays(browser, server):
    page(browser, server)
    browser.type("one " * 100)
    browser.until("!message.hidden")
    assert browser.text("#said") == "Invalid request: request (400) exceeds text limit (300)"
    assert browser.run("text.value") == "one " * 100
    browser.run("text.value = 'one'; text.dispatchEvent(new Event('input'))")
    browser.until(f"message.hidden && {SHOWN}")


def test_swapping_moves_the_text(browser, server):
    page(browser, server, "source=en&target=de&q=one+two")
    browser.until(SHOWN)
    said = browser.text("#output")
    browser.click("#swap")
    browser.until(f"text.value === {json.dumps(said)} && source.value === 'de' && target.value === 'en' && {SHOWN}")


def test_a_glossary_and_the_attention(browser, server):
    page(browser, server, "source=en&target=de&q=one+two")
    browser.until(SHOWN)
    browser.run("terms.open = true; glossary.value = 'two = neun'; glossary.dispatchEvent(new Event('input'))")
    browser.until(f"output.textContent.includes('neun') && {SHOWN}")
    browser.run("attention.open = true")
    browser.until("document.querySelectorAll('#matrix td').length > 0")
    assert browser.run("document.querySelectorAll('#matrix thead th').length") == 1 + len(["one", "two", "(end)"])
    assert browser.complaints == []


def test_a_file_is_translated(browser, server, translator):
    page(browser, server)
    browser.run(
        "(() => { const box = new DataTransfer(); box.items.add(new File(['one two\\n'], 'mine.txt'));"
        "file.files = box.files; file.dispatchEvent(new Event('change')); })()"
    )
    browser.until("document.querySelector('#state a')")
    path = browser.run("document.querySelector('#state a').href")
    answer = server.get(path.removeprefix(server.url))
    assert answer.body.decode() == translator.translate("one two") + "\n"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''mine.de.txt"


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_narrow_screen_and_follows_the_colours_of_the_system(browser, server, dark):
    page(browser, server, "source=en&target=de&q=one+two+three", width=360, dark=dark)
    browser.until(SHOWN)
    assert browser.run("document.documentElement.scrollWidth") == 360
    paper, ink = (
        browser.run(f"getComputedStyle(document.querySelector('.pane')).{name}.match(/\\d+/g).map(Number)[0]")
        for name in ("backgroundColor", "color")
    )
    assert (paper < ink) is dark and abs(paper - ink) > 150


def test_writing_from_right_to_left(browser, server):
    page(browser, server)
    browser.type("שלום עולם")
    browser.until("getComputedStyle(text).direction === 'rtl'")
