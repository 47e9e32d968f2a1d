"""The page in a real browser, on the tiny model as shipped: what visitors do, and what they must not be able to do."""

import io
import re
import shutil
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.examples.app.conftest import NEEDS
from tests.examples.app.serving import SECONDS, served


pytest.importorskip("gradio", reason=NEEDS)
pytest.importorskip("playwright", reason=NEEDS)
pytest.importorskip("axe_playwright_python", reason=NEEDS)
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from diffusers_motion_embed import read_video
from diffusers_motion_embed.storage.files import read_embedding
from examples.app import drawing


ROOT = Path(__file__).parents[3]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SMALL = ("--num_frames", "8", "--num_inference_steps", "4", "--max_train_steps", "10", "--threads", "1")
TABS = ("Learn", "Try", "Mix", "Share")
DESK, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
# Everything that axe knows of WCAG 2, levels A and AA: names of controls, contrast, order of headings, and so on.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium: apt-get install chromium, or any way to a chromium on the PATH"
    ),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def address(library, free_tcp_port_factory):
    """The page, served by its own command."""
    port = free_tcp_port_factory()
    command = [sys.executable, "-m", "examples.app", *SMALL, "--library", str(library), "--server_port", str(port)]
    with served(command, port, library.with_suffix(".log"), ROOT) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        expect.set_options(timeout=SECONDS * 1000)
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def visit(browser, address):
    """A function that makes a visitor's page. The test fails if anything went wrong in a visitor's console."""
    contexts, wrong = [], []

    def visit(size=DESK):
        contexts.append(browser.new_context(viewport=size))
        page = contexts[-1].new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.locator(".strip img").first.wait_for()  # the example is there
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def turn_to(page, tab):
    page.get_by_role("tab", name=tab, exact=True).click()


def learn(page, wait=True):
    press(page, "Learn")
    if wait:
        page.get_by_text("step 10 of 10").wait_for()
        page.get_by_role("button", name="Learn", exact=True).wait_for()


def motions(page, label="Motion"):
    """What a list of motions offers."""
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option").first.wait_for()
    names = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    return [name.replace("✓", "").strip() for name in names]


def choose(page, label, name):
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=name).first.click()


def paint(page):
    """A stroke with the brush and the colour that are chosen at first."""
    page.wait_for_timeout(1000)  # a new picture is laid under the strokes
    box = page.locator("canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 60, y - 60)
    page.mouse.down()
    page.mouse.move(x - 60, y + 60, steps=5)
    page.mouse.up()


def download(page, name, folder):
    with page.expect_download() as begun:
        page.get_by_text(name, exact=True).locator("visible=true").click()
    path = folder / begun.value.suggested_filename
    begun.value.save_as(path)
    return path


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def test_learn_try_mix_and_download(visit, tmp_path):
    page = visit()
    assert violations(page) == []
    example = page.locator(".strip img").first.get_attribute("src")
    page.locator("input[type=file]").first.set_input_files(ROOT / "examples/assets/bounce.mp4")
    expect(page.locator(".strip img").first).not_to_have_attribute("src", example)
    page.get_by_text("second 0.00 to 1.00 of 2.00 is used").wait_for()
    expect(page.locator(".strip img")).to_have_count(8)
    page.get_by_label("Frames per second").first.fill("4")
    page.get_by_label("Frames per second").first.press("Enter")
    expect(page.locator(".strip img")).to_have_count(4)
    page.get_by_label("Frames per second").first.fill("8")
    page.get_by_label("Frames per second").first.press("Enter")
    expect(page.locator(".strip img")).to_have_count(8)
    page.get_by_label("What the clip shows").first.fill("a yellow circle on a navy background")
    page.get_by_role("button", name="Learn", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_text("step 10 of 10").wait_for()
    page.get_by_alt_text("moving picture: a yellow ring").wait_for()
    assert violations(page) == []

    turn_to(page, "Try")
    press(page, "Generate")
    page.locator(".paths").wait_for()
    for name in ("with the motion", "without it, same noise", "the reference"):
        assert page.get_by_alt_text(name).last.evaluate("image => image.complete && image.naturalWidth") == 64
    assert re.search(r"Motion fidelity to the reference: -?\d", page.inner_text("body"))
    assert violations(page) == []
    assert read_video(download(page, "Download mp4", tmp_path)).shape == (8, 320, 320, 3)
    assert read_video(download(page, "Download GIF", tmp_path)).shape == (8, 320, 320, 3)
    embedding = read_embedding(download(page, "Download motion", tmp_path))
    assert embedding.config.training["max_train_steps"] == 10

    turn_to(page, "Mix")
    choose(page, "Motion 1", "bounce")
    choose(page, "Motion 2", "bounce")
    page.get_by_label("Motion 2 runs backwards").check()
    press(page, "Mix")
    page.get_by_alt_text("moving picture: mixed").wait_for()
    assert violations(page) == []
    assert read_embedding(download(page, "Download motion", tmp_path)).config.num_frames == 16

    page.get_by_label("each in its place").check()
    with page.expect_response(re.compile(r"\.webp")):
        press(page, "Show the clip's first frame to paint on")
    paint(page)
    choose(page, "Motion 2 acts where", "right half")
    assert violations(page) == []
    press(page, "Mix")
    page.get_by_text("This mix is a clip to keep").wait_for()
    assert page.get_by_text("Download motion", exact=True).locator("visible=true").is_disabled()

    turn_to(page, "Share")
    page.get_by_role("cell", name="adapter_model.safetensors").wait_for()
    assert violations(page) == []
    page.reload()
    turn_to(page, "Try")
    assert motions(page) == ["mix", "bounce"]


def test_a_wrong_file_gets_the_packages_own_words(visit, tmp_path, library):
    (tmp_path / "notes.mp4").write_text("this is no video")
    page = visit()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "notes.mp4")
    toast = page.get_by_test_id("toast-body")
    toast.wait_for()
    assert "notes.mp4" in toast.inner_text()
    assert str(library) not in toast.inner_text()
    press(page, "Learn")  # the example is still there
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Go on", exact=True).click()
    page.get_by_text("step 10 of 10").wait_for()


def test_two_visitors_wait_for_each_other_and_share_nothing(visit, address, library):
    first, second = visit(), visit(PHONE)
    second.get_by_label("zigzag").check()
    expect(second.get_by_label("What the clip shows").first).to_have_value(re.compile("blue circle"))
    learn(first, wait=False)
    first.get_by_role("button", name="Stop", exact=True).wait_for()
    learn(second, wait=False)
    second.get_by_text(re.compile(r"queue: \d/\d")).wait_for()
    for page, name in ((first, "figure_eight"), (second, "zigzag")):
        page.get_by_text("step 10 of 10").wait_for()
        page.get_by_role("button", name="Learn", exact=True).wait_for()
        turn_to(page, "Try")
        assert motions(page) == [name]
    private = next(library.glob("*/motions/zigzag/adapter_model.safetensors"))
    for path in (private, private.parent / "../zigzag" / private.name, ROOT / "setup.py", "/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")
        assert refused.value.code in (403, 404)


def test_a_phone_shows_all_of_it(visit):
    page = visit(PHONE)
    for tab in TABS:
        turn_to(page, tab)
        if tab == "Mix":
            page.get_by_label("each in its place").check()
            page.locator("canvas").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        assert violations(page) == []


def test_only_this_machine_is_served(address):
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    port = int(address.rpartition(":")[2])
    for other in others - {"127.0.0.1"}:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((other, port), timeout=5)


def test_clips_that_are_shown_together_begin_together(browser):
    frames = np.broadcast_to(np.arange(0, 256, 16, dtype=np.uint8)[:, None, None, None], (16, 64, 64, 3)).copy()
    other = frames.copy()
    other[:, :4, :4] = 255
    page = browser.new_page()
    page.set_content(drawing.clips([("the reference", frames, 8)]))
    page.wait_for_timeout(1100)  # milliseconds: the reference is half way through
    again = drawing.clips([("the reference", frames, 8), ("a new clip", other, 8)])
    page.evaluate("html => { document.body.innerHTML = html }", again)
    page.wait_for_timeout(300)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).astype(int)
    boxes = [image.bounding_box() for image in page.query_selector_all("img")]
    middles = [(round(box["y"] + box["height"] / 2), round(box["x"] + box["width"] / 2)) for box in boxes]
    tones = [shot[middle] for middle in middles]
    page.close()
    assert abs(tones[0] - tones[1]) <= 16  # a frame
