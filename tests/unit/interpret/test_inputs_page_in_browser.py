"""The page of a model that reads tables in a real browser; no request leaves it."""

import shutil

import numpy as np
import pytest
import torch

from mt.alignment.observe import Side
from mt.inputs.kind import Picture
from mt.interpret.inputs import InputObservation, View, inputs_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]
NASTY = "<b>two</b>"


def picture(grid: tuple[int, int], seconds: float | None = None) -> View:
    pixels = np.full((8, 8 * grid[1], 3), 200, np.uint8)
    return View("photo", Picture(pixels, grid, seconds), grid[0] * grid[1])


def seen(*views: View) -> InputObservation:
    """Two pieces, of which the first attends to the first row alone, and the second to the last."""
    maps = torch.zeros(2, 1, 2, 2, sum(view.rows for view in views))
    maps[:, :, :, 0, 0] = maps[:, :, :, 1, -1] = 1
    target = Side(f"one {NASTY}", [(0, 3), (4, 4 + len(NASTY))], [])
    return InputObservation(list(views), target, maps, maps[0], [-0.5, -1.25])


def test_a_hovered_word_shows_its_place_in_the_picture_and_in_time(tmp_path):
    file = tmp_path / "page.html"
    text = View("caption", Side(f"{NASTY} b", [(0, len(NASTY)), (len(NASTY) + 1, len(NASTY) + 2)], []), 3)
    both = seen(text, picture((2, 2)))
    html = inputs_page(
        "m",
        ["a.png", "b.wav", "two\tfolder/b.png"],
        [seen(picture((2, 2))), seen(picture((1, 4), 0.16)), both],
        "Attention",
    )
    file.write_text(html, encoding="utf-8")
    messages = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        for event, told in (("request", "url"), ("console", "text"), ("pageerror", "message")):
            tab.on(event, lambda one, told=told: messages.append(getattr(one, told)))
        tab.goto(file.as_uri())
        tab.wait_for_selector("body[data-ready]")
        said = tab.locator(".said")
        assert said.inner_text() == "Shown: the mean of all pieces, layer 1, heads 1, 2."
        tab.locator(".word").nth(1).hover()
        told = (
            f"{NASTY}: most of all row 2, column 2, 100 % of the weight; log-probability -1.25 (layer 1, heads 1, 2)."
        )
        assert said.inner_text() == told
        last = "() => [...document.querySelector('.stage .heat').getContext('2d').getImageData(0, 0, 2, 2).data]"
        alpha = tab.evaluate(last)[3::4]
        assert alpha == [0, 0, 0, 215]
        tab.locator("#sentences button").nth(1).click()
        tab.locator(".strips figure").nth(1).hover()
        assert "most of all 0.12 to 0.16 s" in said.inner_text()
        tab.locator(".head").nth(0).click()
        assert said.inner_text().endswith("layer 1, head 1.")
        assert tab.locator("#sentences button").nth(2).inner_text() == "two · b.png"
        tab.locator("#sentences button").nth(2).click()
        tab.locator(".word").nth(0).hover()
        assert f"most of all caption, “{NASTY}”, 100 % of the weight" in said.inner_text()
        assert said.inner_text().endswith("Shares: caption 100 %, photo 0 %.")
        colours = [tab.locator(".piece").nth(n).evaluate("one => one.style.backgroundColor") for n in range(3)]
        assert "0.85" in colours[0] and "0.85" not in colours[2]
        tab.locator(".strips figure").nth(1).hover()
        assert "photo, row 2, column 2" in said.inner_text()
        assert tab.locator(".view .share").all_inner_texts() == ["0 %", "100 %"]
        browser.close()
    assert set(messages) == {file.as_uri()}
