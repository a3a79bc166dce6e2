"""HEIC, AVIF and JPEG XL: recognised by their first bytes, and read by plugins when needed."""

import io
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from map_layouts import draw_blocks, draw_photo, save
from PIL import Image, features

from unimask.datasets import open_dataset
from unimask.errors import ImageError
from unimask.processing import image_plugins
from unimask.processing.image_plugins import AVIF, HEIF, JXL, PLUGINS, find_plugin
from unimask.processing.images import IMAGE_SUFFIXES, list_images, read_image

HEIC_HEADER = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"


@pytest.mark.parametrize(
    ("header", "plugin"),
    [
        (HEIC_HEADER, HEIF),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", HEIF),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B", AVIF),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", AVIF),
        (b"\xff\x0a\x98p\x10\t", JXL),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", JXL),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"\xff\xff\xff\xffftypheic", HEIF),
        (b"", None),
    ],
)
def test_formats_are_recognised_by_their_first_bytes(header, plugin):
    assert find_plugin(header) is plugin


@pytest.fixture
def without_plugins(monkeypatch):
    """Simulate that no plugin is installed, and that Pillow cannot read AVIF."""
    for plugin in PLUGINS:
        monkeypatch.setitem(sys.modules, plugin.module, None)
    monkeypatch.setattr(features, "check", lambda feature: False)
    image_plugins.register_plugin.cache_clear()
    yield
    image_plugins.register_plugin.cache_clear()


@pytest.mark.parametrize(
    ("suffix", "header", "package"),
    [
        ("heic", HEIC_HEADER, "pillow-heif"),
        ("jxl", b"\xff\x0a\0\0", "pillow-jxl-plugin"),
        ("avif", b"\0\0\0\x18ftypavif\0\0\0\0avif", "pillow-avif-plugin"),
    ],
)
def test_a_missing_plugin_is_named_in_one_line(tmp_path, without_plugins, suffix, header, package):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(header + bytes(40))
    assert list_images(tmp_path) == [path]
    with pytest.raises(ImageError, match=rf"a\.{suffix} is a .* image, .*pip install {package}, "):
        read_image(path)


def test_a_plugin_is_imported_only_for_its_format(tmp_path, monkeypatch):
    """The module stands in for pillow-heif: it registers an opener that reads one colour."""
    calls = []

    def register():
        calls.append(1)
        Image.register_open("HEIF", lambda *_: Image.new("RGB", (4, 3), (1, 2, 3)),
                            lambda prefix: prefix[4:12] == b"ftypheic")  # fmt: skip

    module = ModuleType("pillow_heif")
    module.register_heif_opener = register
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    before = Image.OPEN.get("HEIF")
    image_plugins.register_plugin.cache_clear()
    save(tmp_path / "a.png", draw_photo(0))
    read_image(tmp_path / "a.png")
    assert not calls
    (tmp_path / "a.heic").write_bytes(HEIC_HEADER + bytes(40))
    for _ in range(2):
        assert (read_image(tmp_path / "a.heic") == (1, 2, 3)).all()
    assert calls == [1]
    image_plugins.register_plugin.cache_clear()
    if before is None:
        del Image.OPEN["HEIF"]
        Image.ID.remove("HEIF")
    else:
        Image.OPEN["HEIF"] = before


def test_importing_unimask_imports_no_plugin():
    code = "import sys, unimask, unimask.processing.images as i; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {plugin.module for plugin in PLUGINS} & set(modules)


def test_suffixes_of_all_plugins_are_those_of_images():
    assert image_plugins.PLUGIN_SUFFIXES <= IMAGE_SUFFIXES


def write_dataset(folder, suffix, **options):
    for number in range(6):
        path = folder / "images" / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_smooth(number)).save(path, **options)
        save(folder / "masks" / f"{number}.png", draw_blocks(number, 3))
    return folder


def draw_smooth(seed: int) -> np.ndarray:
    """Draw a ramp, which lossy formats keep."""
    rows, columns = np.mgrid[:48, :64]
    return np.dstack([rows * 4, columns * 3, np.full((48, 64), 40 * seed)]).astype(np.uint8)


def check_dataset(folder, suffix, tolerance):
    dataset = open_dataset(folder)
    assert [path.suffix for path in dataset.paths] == [f".{suffix}"] * 6
    for number, sample in enumerate(dataset):
        difference = np.abs(sample.image.astype(int) - draw_smooth(number))
        assert difference.max() <= tolerance
        assert sample.label_ids.tolist() == [0, 1, 2]


@pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow reads no AVIF")
def test_datasets_of_avif(tmp_path):
    check_dataset(write_dataset(tmp_path, "avif", quality=100), "avif", 12)


@pytest.mark.extra
def test_datasets_of_heic(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    check_dataset(write_dataset(tmp_path, "heic", quality=-1), "heic", 12)
    path = tmp_path / "images" / "0.heic"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"0\.heic is damaged"):
        read_image(path)


@pytest.mark.extra
def test_datasets_of_jpeg_xl(tmp_path):
    pytest.importorskip("pillow_jxl")
    check_dataset(write_dataset(tmp_path, "jxl", lossless=True), "jxl", 0)
    path = tmp_path / "images" / "0.jxl"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"0\.jxl is damaged"):
        read_image(path)


@pytest.mark.extra
def test_the_exif_orientation_of_jpeg_xl_does_not_count(tmp_path):
    """Its decoder applies the orientation of the codestream; that of EXIF is for information."""
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(draw_smooth(0)).save(stream, "JPEG", exif=exif)
    with Image.open(stream) as image:
        image.save(tmp_path / "a.jxl", lossless_jpeg=True)
    assert read_image(tmp_path / "a.jxl").shape == (48, 64, 3)
