"""The page at `/` in Chromium, with the real server: clicks, keys, downloads, errors."""

import json
import os
import re
import shutil
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import unimask
from unimask.datasets.rendered_nuclei import render_nuclei

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.extra,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # pycocotools
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install the package chromium"),
]
WIDTHS = {"desktop": (1280, 800), "tablet": (820, 1100), "phone": (390, 844)}
OPTIONS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def start_server():
    """Run `unimask serve` on a free port; return its address."""
    processes = []

    def run(*models, **environment) -> str:
        command = [sys.executable, "-m", "unimask", "serve", *map(str, models), "--port", "0"]
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        processes.append(process)
        return process.stdout.readline().decode().split(": ")[0]

    yield run
    for process in processes:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def address(start_server, tiny_model):
    return start_server("nuclei", f"tiny={tiny_model}", "--max-upload-mb", "8")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(
            executable_path=CHROMIUM, args=OPTIONS, chromium_sandbox=False
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Open pages that record requests; at the end, check for errors and requests elsewhere."""
    contexts, errors, requests = [], [], []

    def run(server=address, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.requested = requests
        page.goto(server)
        return page

    yield run
    for context in contexts:
        context.close()
    allowed = r"(http://127\.0\.0\.1:\d+/|blob:http://127\.0\.0\.1:\d+/|data:image/)"
    assert not [url for url in requests if not re.match(allowed, url)]
    # Chromium itself reports responses with an error status.
    assert not [text for text in errors if not text.startswith("Failed to load resource")]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "cells.png"
    Image.fromarray(render_nuclei(size=(160, 208), count=12).image).save(path)
    return path


@pytest.fixture(scope="module")
def nuclei():
    return unimask.load("nuclei", device="cpu")


def settled(page) -> None:
    """Wait until the result of the last request is drawn."""
    page.wait_for_function(
        """() => document.querySelector('#busy').hidden && !document.querySelector('#tools').hidden
        && document.querySelectorAll('#list [aria-selected=true]').length
           == document.querySelector('#frame').dataset.painted"""
    )


def segment(page, path) -> None:
    page.wait_for_selector("#tasks label")
    page.set_input_files("#file", path)
    page.wait_for_selector("#busy:not([hidden])", state="attached")
    settled(page)


def download(page, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Download {name}").click()
    return waiting.value.path().read_bytes()


def downloaded_ids(page) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(download(page, "id map"))))


def items(page):
    return page.locator("#list li")


def choose_task(page, task: str) -> None:
    with page.expect_response("**/v1/predict*"):
        page.get_by_role("radio", name=task).check(force=True)
    settled(page)


def predictions(page) -> int:
    return sum("/v1/predict" in url for url in page.requested)


def place(page, ids: np.ndarray, number: int) -> tuple[float, float]:
    """Return the screen position of a pixel of a segment, away from its border."""
    from scipy.ndimage import distance_transform_edt

    distances = distance_transform_edt(ids == number)
    row, column = np.unravel_index(distances.argmax(), ids.shape)
    box = page.locator("#frame").bounding_box()
    x = box["x"] + (column + 0.5) / ids.shape[1] * box["width"]
    return x, box["y"] + (row + 0.5) / ids.shape[0] * box["height"]


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_downloads_equal_the_prediction(open_page, cells, nuclei, task):
    from pycocotools import mask as coco_masks

    result = nuclei.predict(cells, task=task)
    page = open_page()
    segment(page, cells)
    if task != "panoptic":
        choose_task(page, task)
    assert items(page).count() == len(result.segments)
    assert np.array_equal(downloaded_ids(page), np.asarray(result.id_image()))
    document = json.loads(download(page, "COCO JSON"))
    expected = result.to_coco(image_id=1)
    assert document["images"] == [{"id": 1, "file_name": "cells.png", "height": 160, "width": 208}]
    assert [c["name"] for c in document["categories"]] == list(nuclei.labels)
    assert [a["category_id"] for a in document["annotations"]] == [
        entry["category_id"] for entry in expected
    ]
    for annotation, entry in zip(document["annotations"], expected, strict=True):
        mask, truth = (coco_masks.decode(e["segmentation"]) for e in (annotation, entry))
        assert np.array_equal(mask, truth)
        assert annotation["bbox"] == entry["bbox"] and annotation["area"] == entry["area"]


def test_the_overlay_is_the_image_with_the_visible_segments(open_page, cells, nuclei):
    image = np.asarray(Image.open(cells).convert("RGB"))
    page = open_page()
    segment(page, cells)
    choose_task(page, "instance")
    overlay = Image.open(BytesIO(download(page, "overlay")))
    found = nuclei.predict(cells, task="instance").segmentation > 0
    changed = (np.asarray(overlay.convert("RGB")) != image).any(axis=-1)
    assert np.array_equal(changed, found)
    page.get_by_role("button", name="Hide all").click()
    settled(page)
    overlay = Image.open(BytesIO(download(page, "overlay")))
    assert np.array_equal(np.asarray(overlay.convert("RGB")), image)


def test_the_pointer_names_and_toggles_segments(open_page, cells, nuclei):
    result = nuclei.predict(cells, task="instance")
    page = open_page()
    segment(page, cells)
    choose_task(page, "instance")
    x, y = place(page, result.segmentation, 2)
    page.mouse.move(x - 5, y)
    page.mouse.move(x, y)
    score = f"{result.segments[1].score:.2f}"
    page.wait_for_function(
        f"() => document.querySelector('#tip').textContent == 'nucleus {score}'"
        " && document.querySelector('#list .current')?.dataset.id == 2"
    )
    page.mouse.click(x, y)  # which a worker answers
    page.wait_for_selector("[data-id='2'][aria-selected=false]")
    settled(page)
    assert "(hidden)" in page.locator("#tip").inner_text()
    others = [segment for segment in result.segments if segment.id != 2]
    assert set(np.unique(downloaded_ids(page))) == {0, *(segment.id for segment in others)}
    assert len(json.loads(download(page, "COCO JSON"))["annotations"]) == len(others)
    page.mouse.click(x, y)
    page.wait_for_selector("[data-id='2'][aria-selected=true]")
    settled(page)
    assert np.array_equal(downloaded_ids(page), result.segmentation)


def test_instances_are_filtered_without_requests(open_page, cells, nuclei):
    page = open_page()
    segment(page, cells)
    choose_task(page, "instance")
    before = predictions(page)
    for threshold in (0.97, 0.3, 0.06):
        page.locator("#threshold").fill(str(threshold))
        settled(page)
        result = nuclei.predict(cells, task="instance", threshold=threshold)
        assert items(page).count() == len(result.segments)
        assert np.array_equal(downloaded_ids(page), result.segmentation)
    assert predictions(page) == before


def test_panoptic_thresholds_are_requested(open_page, cells, nuclei):
    page = open_page()
    segment(page, cells)
    with page.expect_response("**/v1/predict*threshold=0.95*"):
        page.locator("#threshold").fill("0.95")
    settled(page)
    result = nuclei.predict(cells, task="panoptic", threshold=0.95)
    assert np.array_equal(downloaded_ids(page), np.asarray(result.id_image()))
    with page.expect_response("**/v1/predict*"):
        page.get_by_role("button", name="Reset").click()
    settled(page)
    assert page.locator("#threshold-value").inner_text() == "0.50"


def test_segments_are_sorted(open_page, cells, nuclei):
    page = open_page()
    segment(page, cells)
    choose_task(page, "instance")
    segments = nuclei.predict(cells, task="instance").segments
    for key in ("area", "score"):
        page.get_by_label("Sort by").select_option(key)
        shown = [int(item.get_attribute("data-id")) for item in items(page).all()]
        values = {s.id: getattr(s, key) for s in segments}
        assert [values[i] for i in shown] == sorted(values.values(), reverse=True)


def test_everything_works_with_the_keyboard(open_page, cells):
    page = open_page()
    segment(page, cells)
    press = page.keyboard.press
    page.locator("#model").focus()
    press("Tab")
    with page.expect_response("**/v1/predict*task=instance*"):
        press("ArrowRight")
    settled(page)
    count = items(page).count()
    page.locator("#hide-all").focus()
    press("Tab")
    first = page.evaluate("document.activeElement.dataset.id")
    press("ArrowDown")
    press("Space")
    settled(page)
    second = page.evaluate("document.activeElement.dataset.id")
    assert first != second
    assert page.locator(f"[data-id='{second}']").get_attribute("aria-selected") == "false"
    assert page.locator("#status").inner_text() == f"{count} segments, 1 hidden"
    assert page.locator("#highlight").is_visible()
    press("End")
    assert page.evaluate("document.activeElement == document.querySelector('#list').lastChild")
    page.locator("#compare").focus()
    press("Space")
    page.locator("#divider").focus()
    press("ArrowRight")
    assert page.locator("#divider").get_attribute("aria-valuenow") == "55"
    assert "55%" in page.evaluate("document.querySelector('#layers').style.clipPath")
    page.locator("#save-coco").focus()
    with page.expect_download():
        press("Enter")


def test_images_are_dropped_pasted_and_photographed(open_page, cells):
    page = open_page(permissions=["clipboard-read", "clipboard-write", "camera"])
    page.wait_for_selector("#tasks label")
    protocol = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(cells)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        protocol.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 400, "data": data})
    page.wait_for_function("() => document.querySelector('#base').width == 208")
    settled(page)
    page.evaluate(
        """async () => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 99, height: 80 });
        canvas.getContext('2d');
        const blob = await new Promise(done => canvas.toBlob(done));
        await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]); }"""
    )
    page.keyboard.press("Control+V")
    page.wait_for_function("() => document.querySelector('#base').width == 99")
    page.wait_for_selector("#tools:not([hidden])")
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take picture").click()
    page.wait_for_function("() => document.querySelector('#base').width > 300")
    page.wait_for_selector("#tools:not([hidden])")
    assert page.locator("#video").evaluate("video => video.srcObject === null")


def test_images_that_browsers_cannot_display_come_from_the_server(open_page, cells, tmp_path):
    Image.open(cells).save(tmp_path / "cells.tif")
    page = open_page()
    segment(page, tmp_path / "cells.tif")
    page.get_by_role("button", name="Hide all").click()
    settled(page)
    overlay = np.asarray(Image.open(BytesIO(download(page, "overlay"))).convert("RGB"))
    assert np.array_equal(overlay, np.asarray(Image.open(cells).convert("RGB")))


def test_photos_are_upright(open_page, cells, nuclei, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(cells).convert("RGB").save(tmp_path / "photo.jpg", exif=exif, quality=95)
    page = open_page()
    segment(page, tmp_path / "photo.jpg")
    ids = np.asarray(nuclei.predict(tmp_path / "photo.jpg").id_image())
    assert ids.shape[:2] == (208, 160)
    assert np.array_equal(downloaded_ids(page), ids)
    box = page.locator("#frame").bounding_box()
    assert box["height"] / box["width"] == pytest.approx(208 / 160, rel=0.02)
    assert page.evaluate("document.querySelector('#base').width") == 160


def test_errors_are_shown_on_the_image(open_page, tmp_path, cells):
    page = open_page()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "large.png").write_bytes(bytes(9 * 2**20))
    page.wait_for_selector("#tasks label")
    alert = page.locator("#error")
    page.set_input_files("#file", tmp_path / "text.png")
    alert.wait_for()
    assert "image" in alert.inner_text()
    page.set_input_files("#file", tmp_path / "large.png")
    page.wait_for_function("() => document.querySelector('#error').textContent.includes('9 MB')")
    assert "8 MB" in alert.inner_text()
    segment(page, cells)
    assert alert.is_hidden()


def test_requests_are_canceled_and_repeated(open_page, cells):
    page = open_page()
    page.wait_for_selector("#tasks label")
    page.route("**/v1/predict*", lambda route: None)  # never answered
    page.set_input_files("#file", cells)
    page.wait_for_selector("#busy:not([hidden])")
    page.keyboard.press("Escape")
    assert page.locator("#busy").is_hidden()
    assert "Canceled" in page.locator("#error").inner_text()
    page.unroute("**/v1/predict*")
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"error": "the queue is full"}}
    page.route("**/v1/predict*", lambda route: route.fulfill(**busy), times=1)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('busy')")
    settled(page)


def test_tokens_are_requested(open_page, start_server, tiny_model, cells):
    page = open_page(start_server(tiny_model, UNIMASK_TOKEN="secret"))
    for token in ("wrong", "secret"):
        page.get_by_label("Access token", exact=True).fill(token)
        with page.expect_response("**/v1/models"):
            page.keyboard.press("Enter")
    segment(page, cells)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_the_page_is_accessible(open_page, cells, device, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    width, height = WIDTHS[device]
    page = open_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.wait_for_selector("#tasks label")
    check_accessibility(axe, page)
    segment(page, cells)
    page.locator("#compare").check()
    page.locator("#list li").first.click()
    settled(page)
    check_accessibility(axe, page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelector('#token-dialog').showModal()")
    check_accessibility(axe, page)


def check_accessibility(axe, page) -> None:
    violations = axe.run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in serious]


def test_the_page_responds_while_large_images_are_drawn(open_page, tmp_path):
    """The worker draws; the page's own thread needs little processor time, whatever the load."""
    image = render_nuclei(size=(540, 960), count=150).image
    Image.fromarray(image).resize((3840, 2160)).save(tmp_path / "large.jpg")
    page = open_page()
    segment(page, tmp_path / "large.jpg")
    protocol = page.context.new_cdp_session(page)
    protocol.send("Performance.enable", {"timeDomain": "threadTicks"})

    def thread_seconds() -> float:
        metrics = protocol.send("Performance.getMetrics")["metrics"]
        return next(m["value"] for m in metrics if m["name"] == "TaskDuration")

    before = thread_seconds()
    for _ in range(4):
        page.locator("#list li").nth(1).click()
        settled(page)
    assert (thread_seconds() - before) / 4 < 0.3
