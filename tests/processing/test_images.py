"""Images of every kind are read, or refused in one line that names the file and a fix."""

import io
import struct
import sys
import threading
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from PIL import Image

from unimask.errors import ImageError, MissingExtraError
from unimask.processing.images import ImageWarning, list_images, read_image

ORIENTATION = 0x112
COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_dicom_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    path = tmp_path / "slice"
    path.write_bytes(bytes(128) + b"DICM" + bytes(40))
    with pytest.raises(MissingExtraError, match=r"pydicom: pip install 'unimask\[medical\]'"):
        read_image(path)


def png_header(width, height):
    """Return a PNG header without pixel data."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\x00\x00\x00\x00IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.fixture
def assert_refused(tmp_path):
    def check(name, content, hint):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ImageError, match=hint) as raised:
            read_image(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)

    return check


class TestRefusals:
    def test_missing_files_are_refused(self, assert_refused):
        assert_refused("nowhere.png", None, "does not exist: check the path")

    def test_folder(self, tmp_path):
        with pytest.raises(ImageError, match="is a folder"):
            read_image(tmp_path)

    def test_name_too_long(self, assert_refused):
        assert_refused("x" * 300, None, "cannot be opened")

    def test_empty_files_are_refused(self, assert_refused):
        assert_refused("empty.png", b"", "0 bytes.*again")

    def test_text_named_png(self, assert_refused):
        assert_refused("text.png", b"dear reader\n" * 9, "not an image of a known kind: save it as")

    def test_truncated_jpeg(self, assert_refused):
        stream = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(stream, "JPEG")
        assert_refused("cut.jpg", stream.getvalue()[:-900], r"damaged \(.*truncated.*again")

    def test_chunks_declaring_gigabytes_allocate_nothing(self, tmp_path):
        stream = io.BytesIO()
        Image.new("RGB", (9, 7), (1, 2, 3)).save(stream, "PNG")
        before, pixels = stream.getvalue().split(b"IDAT")
        path = tmp_path / "chunk.png"
        path.write_bytes(before[:-4] + struct.pack(">I", 2**31 - 1) + b"IDAT" + pixels)
        tracemalloc.start()
        image = read_image(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert image.shape == (7, 9, 3) and image[0, 0].tolist() == [1, 2, 3] and peak < 2**24

    def test_headers_without_pixels_are_refused(self, assert_refused):
        assert_refused("cut.png", png_header(9, 9), "damaged")

    def test_truncated_open_image(self):
        with pytest.raises(ImageError, match="damaged"):
            read_image(Image.open(io.BytesIO(png_header(9, 9))))

    @pytest.mark.parametrize("side", [14_200, 30_000])
    def test_bomb_is_refused_from_its_header(self, assert_refused, side):
        before = Image.MAX_IMAGE_PIXELS
        assert_refused(
            "bomb.png", png_header(side, side), r"200,000,000: raise max_pixels \(--max-pixels"
        )
        assert before == Image.MAX_IMAGE_PIXELS

    def test_the_pixel_limit_is_configurable(self, tmp_path):
        path = tmp_path / "a.png"
        Image.new("RGB", (10, 10)).save(path)
        with pytest.raises(ImageError, match="more than 99"):
            read_image(path, max_pixels=99)
        assert read_image(path, max_pixels=100).shape == (10, 10, 3)
        path.write_bytes(png_header(30_000, 30_000))
        with pytest.raises(
            ImageError, match="damaged"
        ):  # below the limit, the missing pixels are reported
            read_image(path, max_pixels=10**9)

    def test_limit_holds_for_arrays_and_pil(self):
        for source in (np.zeros((3, 4)), Image.new("L", (4, 3))):
            with pytest.raises(ImageError, match="max_pixels"):
                read_image(source, max_pixels=11)

    @pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (2, 2, 5), (2, 2, 3, 1), (0, 4), (4, 0, 3)])
    def test_shapes(self, shape):
        with pytest.raises(ImageError, match="the given array"):
            read_image(np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("source", [None, 5, [1, 2]])
    def test_objects_of_other_types_are_refused(self, source):
        with pytest.raises((ImageError, TypeCheckError), match=r"is no image|Type-check"):
            read_image(source)


class TestKinds:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm"])
    def test_colours_are_kept(self, tmp_path, suffix):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(COLOURS).save(path, **({"lossless": True} if suffix == "webp" else {}))
        assert np.array_equal(read_image(str(path)), COLOURS)

    def test_one_pixel(self, tmp_path):
        Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").tolist() == [[[1, 2, 3]]]

    def test_grey(self, tmp_path):
        Image.fromarray(COLOURS[..., 0]).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), COLOURS[..., [0, 0, 0]])

    def test_one_bit(self):
        assert read_image(Image.new("1", (1, 1), 1)).tolist() == [[[255] * 3]]

    @pytest.mark.parametrize("suffix", ["jpg", "tif"])
    def test_cmyk(self, tmp_path, suffix):
        image = Image.new("RGB", (16, 16), (200, 60, 30)).convert("CMYK")
        image.save(tmp_path / f"a.{suffix}")
        read = read_image(tmp_path / f"a.{suffix}").astype(int)
        assert np.abs(read - (200, 60, 30)).max() <= 4

    def test_alpha_is_dropped(self, tmp_path):
        alpha = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
        rgba = np.concatenate([COLOURS, alpha], axis=2)
        Image.fromarray(rgba).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), COLOURS)
        assert np.array_equal(read_image(rgba), COLOURS)

    def test_grey_with_alpha(self):
        assert read_image(Image.new("LA", (1, 1), (9, 0))).tolist() == [[[9, 9, 9]]]

    @pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
    def test_palette(self, tmp_path, transparency):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putdata([0, 1])
        extra = {} if transparency is None else {"transparency": transparency}
        image.save(tmp_path / "a.png", **extra)
        assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(self, tmp_path, orientation):
        upright = np.zeros((16, 32, 3), np.uint8)
        upright[:8, :8] = 255
        # Stored orientation by EXIF value.
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.transpose(1, 0, 2),
            6: np.rot90(upright),
            7: upright[::-1, ::-1].transpose(1, 0, 2),
            8: np.rot90(upright, -1),
        }[orientation]
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        for name in ("a.png", "a.tif", "a.jpg"):
            Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif)
            read = read_image(tmp_path / name)
            assert read.shape == upright.shape
            assert np.abs(read.astype(int) - upright).max() <= 4

    def test_damaged_exif_leaves_it_as_stored(self, tmp_path):
        Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=b"Exif\0\0no such thing")
        with pytest.warns(ImageWarning, match="EXIF"):
            read = read_image(tmp_path / "a.png")
        assert np.array_equal(read, COLOURS)

    @pytest.mark.parametrize("suffix", ["tif", "gif"])
    def test_the_first_of_several_pages_is_read_with_a_warning(self, tmp_path, suffix):
        pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        path = tmp_path / f"a.{suffix}"
        pages[0].save(path, save_all=True, append_images=pages[1:])
        with pytest.warns(ImageWarning, match="several pages"):
            assert read_image(path)[0, 0].tolist() == [255, 0, 0]


class TestDepth:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bits_are_mapped_linearly(self, tmp_path, suffix):
        values = np.array([[0, 257, 32896, 65535]], np.uint16)
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
        for source in (tmp_path / f"a.{suffix}", values, values[..., None]):
            assert read_image(source)[..., 0].tolist() == [[0, 1, 128, 255]]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.array([[0, 65535]], np.int32), [0, 255]),  # mode of some 16-bit files in PIL
            (np.array([[0, 2**31 - 1]], np.int32), [0, 255]),
            (np.array([[0, 2**32 - 1]], np.uint32), [0, 255]),
            (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
            (np.array([[False, True]]), [0, 255]),
        ],
    )
    def test_other_types(self, values, expected):
        assert read_image(values)[0, :, 0].tolist() == expected

    def test_float_tiff(self, tmp_path):
        Image.fromarray(np.array([[0.0, 1.0]], np.float32)).save(tmp_path / "a.tif")
        assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255]

    @pytest.mark.parametrize(
        ("values", "hint"),
        [
            (np.array([[0.0, 255.0]]), "black and white.*--window"),
            (np.array([[0.0, np.nan]]), "not finite"),
            (np.array([[1j]]), "integers or floats"),
            (np.array([["a"]]), "integers or floats"),
        ],
    )
    def test_values_without_a_known_range_are_refused(self, values, hint):
        with pytest.raises(ImageError, match=hint):
            read_image(values)

    def test_a_window_rescales_values_and_warns_of_clipping(self):
        values = np.array([[100, 150, 200]], np.uint16)
        assert read_image(values, window=(100.0, 200.0))[0, :, 0].tolist() == [0, 128, 255]
        with pytest.warns(ImageWarning, match=r"33.3% .* outside 150,200 and were clipped"):
            assert read_image(values, window=(150.0, 200.0))[0, :, 0].tolist() == [0, 0, 255]

    def test_negative_values_are_not_clipped_silently(self):
        with (
            pytest.warns(ImageWarning, match="clipped"),
            pytest.warns(ImageWarning, match="from -5 to 5 use little of the range"),
        ):
            read_image(np.array([[-5, 5]], np.int16))

    def test_a_window_stretches_8_bits_too(self, tmp_path):
        Image.fromarray(np.array([[10, 30]], np.uint8)).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png", window=(10.0, 30.0))[0, :, 0].tolist() == [0, 255]

    @pytest.mark.parametrize("window", [(2.0, 2.0), (3.0, 1.0), (0.0, np.inf), (1.0,), "wide", 7])
    def test_invalid_windows_are_refused(self, window):
        with pytest.raises((ImageError, TypeCheckError), match=r"is no window|Type-check"):
            read_image(np.zeros((1, 1), np.uint16), window=window)

    def test_auto_ignores_outliers(self):
        values = np.linspace(1000, 2000, 100_00).reshape(100, 100).astype(np.uint16)
        values[0, 0], values[-1, -1] = 0, 65535
        grey = read_image(values, window="auto")[..., 0]
        assert (grey.min(), grey.max()) == (0, 255)
        assert abs(int(grey[50, 0]) - 128) <= 2

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float64])
    def test_auto_on_flat_images(self, kind):
        flat = np.full((100, 100), 7, kind)
        assert not read_image(flat, window="auto").any()
        flat[0, 0] = 9
        assert read_image(flat, window="auto")[0, 0].tolist() == [255] * 3

    def test_a_window_on_16_bit_colours_counts_in_8_bits(self, tmp_path):
        rows = b"\x00" + struct.pack(">3H", 0, 32768, 65535)
        header = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
        chunks = (header, b"IDAT" + zlib.compress(rows), b"IEND")
        packed = [
            struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
        ]
        path = tmp_path / "a.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
        assert read_image(path).tolist() == [[[0, 128, 255]]]
        with pytest.warns(ImageWarning, match="counts from 0 to 255"):
            read_image(path, window=(0.0, 255.0))


class TestAddresses:
    @pytest.fixture
    def address(self):
        stream = io.BytesIO()
        Image.fromarray(COLOURS).save(stream, "PNG")

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/a.png" else 404)
                self.end_headers()
                self.wfile.write(stream.getvalue())

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()

    def test_an_image_is_downloaded(self, address):
        assert np.array_equal(read_image(f"{address}/a.png"), COLOURS)

    def test_a_missing_download_is_named(self, address):
        with pytest.raises(ImageError, match=r"/b.png cannot be fetched .*404.*: check"):
            read_image(f"{address}/b.png")

    def test_absurd_sizes_are_refused(self, address, monkeypatch):
        monkeypatch.setattr("unimask.processing.images.MAX_DOWNLOAD", 9)
        with pytest.raises(ImageError, match="over 9 bytes"):
            read_image(f"{address}/a.png")

    def test_invalid_addresses_are_refused(self):
        with pytest.raises(ImageError, match="cannot be fetched"):
            read_image("http://")


class TestLists:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt", "inner/c.tif"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "folder.png").mkdir()
        return tmp_path

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("", ["a.JPG", "b.png", "inner/c.tif"]),
            ("*", ["a.JPG", "b.png"]),
            ("*.png", ["b.png"]),
            ("*.t*", ["notes.txt"]),
            ("**/*", ["a.JPG", "b.png", "inner/c.tif"]),
            ("inner/../*.png", ["inner/../b.png"]),
            ("b.png", ["b.png"]),
            ("missing.png", ["missing.png"]),  # reading it reports the error
        ],
    )
    def test_images_of_a_folder_or_pattern(self, folder, pattern, expected):
        actual = list_images(f"{folder}/{pattern}")
        assert [str(path.relative_to(folder)) for path in actual] == expected

    def test_subfolders_are_left_out_on_request(self, folder):
        actual = list_images(folder, recursive=False)
        assert [path.name for path in actual] == ["a.JPG", "b.png"]

    def test_hidden_folders_results_and_link_cycles_are_skipped(self, folder):
        for name in (".cache/x.png", "results/x_overlay.png", "inner/deep/d.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        (folder / "results" / "unimask.json").write_text("{}")
        (folder / "inner" / "deep" / "up").symlink_to(folder)
        actual = [str(path.relative_to(folder)) for path in list_images(folder)]
        assert actual == ["a.JPG", "b.png", "inner/c.tif", "inner/deep/d.png"]
        inside = list_images(folder / "results")  # requested by its name
        assert [path.name for path in inside] == ["x_overlay.png"]

    def test_a_name_with_brackets_is_a_name(self, folder):
        (folder / "x[1].png").touch()
        assert list_images(folder / "x[1].png") == [folder / "x[1].png"]

    @pytest.mark.parametrize("pattern", ["folder.png", "*.bmp"])
    def test_no_images_is_an_error(self, folder, pattern):
        with pytest.raises(ImageError, match=r"no image.*(choose|pass|check)"):
            list_images(folder / pattern)
