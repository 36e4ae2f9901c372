"""The page in a real browser: hovered, in light and dark, wide and narrow; no request leaves it."""

import shutil

import pytest
from toy import number_tokenizer, trained_numbers

from mt.alignment.choose_heads import guess_heads
from mt.alignment.heads import AlignmentHeads, word_maps
from mt.alignment.observe import observe
from mt.interpret.contribution import contributions
from mt.interpret.report import Exhibit, page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]
LONG = 5  # the number of a pair that wraps on a narrow screen
SOURCES = [
    "one two three",
    "<script>document.title = 'taken'</script> one",
    "שלום one",
    "三つ one",
    "три one",
    "one two " * 7,
]
TARGETS = [
    "eins zwei drei",
    "<img src=x onerror=\"document.title='taken'\"> eins",
    "eins שלום",
    "eins 三つ",
    "eins три",
    "eins zwei " * 7,
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    model, tokenizer = trained_numbers(), number_tokenizer()
    seen = list(observe(model, tokenizer, SOURCES, TARGETS, max_length=64))
    owed, heads = contributions(model, tokenizer, seen), guess_heads([word_maps(one) for one in seen[:1]])
    other = AlignmentHeads(0, (0, 1), not heads.shifted)
    exhibits = [Exhibit("first", heads, "", seen, owed), Exhibit("second", other, "", seen, owed)]
    path = tmp_path_factory.mktemp("page") / "attention.html"
    path.write_text(page(exhibits, "Attention"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, file):
    """Opens the page, and fails the test if it requests anything but itself or logs an error."""
    messages = []

    def open_page(**options):
        tab = browser.new_context(**options).new_page()
        tab.on("request", lambda request: messages.append(request.url))
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.goto(file.as_uri())
        tab.wait_for_selector("body[data-ready]")
        return tab

    yield open_page
    assert set(messages) == {file.as_uri()}


def test_a_hovered_target_word_shows_its_source_word_and_back(opened):
    tab = opened()
    first = tab.locator(".model").first
    words = first.locator(".text.target .word")
    words.nth(1).hover()
    assert first.locator(".said").inner_text().startswith("zwei was translated from two")
    assert "answers" in first.locator(".text.source .word").nth(1).get_attribute("class")
    assert tab.locator(".model").nth(1).locator(".said").inner_text().startswith("zwei attends to ")
    first.locator(".text.source .word").nth(2).hover()
    assert first.locator(".said").inner_text().startswith("three is attended to by drei")
    words.nth(0).click()
    tab.mouse.move(0, 0)
    assert first.locator(".said").inner_text().startswith("eins was translated from one")
    tab.keyboard.press("Escape")
    assert first.locator(".said").inner_text().startswith("Shown: layer 1")


def test_heads_views_and_ways_can_be_chosen(opened):
    tab = opened()
    first = tab.locator(".model").first
    assert first.locator("path").count() > 0
    first.locator(".head").nth(0).click()
    assert first.locator(".facts dd").first.inner_text() == "1 · 1"
    tab.get_by_role("button", name="Matrix").click()
    assert first.locator(".sheet td:not(.hidden)").count() == 3 * 4
    first.locator(".sheet tbody td").nth(5).hover()
    assert first.locator(".said").inner_text().startswith("zwei gives")
    tab.get_by_role("button", name="Read at prediction").click()
    assert tab.get_by_role("button", name="Read at prediction").get_attribute("aria-pressed") == "true"


def test_text_that_looks_like_code_is_text(opened):
    tab = opened()
    tab.locator("#sentences button").nth(1).click()
    assert tab.locator(".text.source").first.text_content() == SOURCES[1]
    assert tab.locator(".text.target").first.text_content() == TARGETS[1]
    assert tab.title() == "Attention"
    assert tab.locator("img").count() == 0


def test_text_from_right_to_left_runs_so(opened):
    tab = opened()
    tab.locator("#sentences button").nth(2).click()
    line = tab.locator(".text.source").first
    assert line.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert tab.locator(".text.target").first.evaluate("node => getComputedStyle(node).direction") == "ltr"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_every_width_in_light_and_dark(opened, tmp_path, scheme, width):
    tab = opened(color_scheme=scheme, viewport={"width": width, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, paper[4:-1].split(","))) < 60) == (scheme == "dark")
    tab.locator(".text.target .word").first.hover()
    picture = tmp_path / "page.png"
    tab.screenshot(path=picture, timeout=120_000)
    assert picture.stat().st_size > 10_000


def test_curves_of_a_wrapped_text_cross_no_word(opened):
    tab = opened(viewport={"width": 360, "height": 900})
    tab.locator("#sentences button").nth(LONG).click()
    scene = tab.locator(".scene").first
    assert "columns" in scene.get_attribute("class")
    sides = {
        side: scene.locator(f".text.{side} .word").evaluate_all(
            "words => words.map(word => word.getBoundingClientRect()).map(box => [box.left, box.right, box.bottom])"
        )
        for side in ("source", "target")
    }
    for boxes in sides.values():
        assert len({bottom for _, _, bottom in boxes}) == len(boxes) == 14  # a word in each row
    curves = scene.locator("path").evaluate_all(
        "paths => paths.map(path => path.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert curves
    assert min(left for left, _ in curves) >= max(right for _, right, _ in sides["source"]) - 1
    assert max(right for _, right in curves) <= min(left for left, _, _ in sides["target"]) + 1
    tab.locator("#sentences button").nth(0).click()
    assert "columns" not in scene.get_attribute("class")


def test_bars_have_a_scale_and_a_sentence(opened):
    tab = opened()
    text = tab.locator(".model").first.inner_text()
    assert "A bar shows how many nats of log-probability a word of the translation loses" in text
    most = int(text.partition("Scale: the upper line is at ")[2].split()[0])
    heights = (
        tab.locator(".model")
        .first.locator(".owed div")
        .evaluate_all(
            "cells => cells.map(cell => [Number(cell.querySelector('small').textContent), "
            "cell.querySelector('b').getBoundingClientRect().height / cell.querySelector('i').clientHeight])"
        )
    )
    assert heights and all(abs(max(0, value) / most - height) < 0.05 for value, height in heights)
