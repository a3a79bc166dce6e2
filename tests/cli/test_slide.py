"""`unimask slide`: options reach the slide, files are written, and bad input gets one line."""

import importlib.util
import json

import numpy as np
import pytest

from unimask.cli.slide import name_slides, parse_channels
from unimask.errors import SettingsError

NAMES = ("openslide", "tifffile", "imagecodecs", "zarr", "rasterio")
needs_slide = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("1,1,1", [1, 1, 1]), ("DAPI, CD3,2", ["DAPI", "CD3", 2])],
)
def test_channels_are_numbers_or_names(text, expected):
    assert parse_channels(text) == expected


def test_slides_are_named_without_their_suffixes():
    names = name_slides(["a/x.svs", "b/y.ome.tif", "c/z.ome.zarr"])
    assert list(names.values()) == ["x", "y", "z"]
    with pytest.raises(SettingsError, match="two slides are named x"):
        name_slides(["a/x.svs", "b/x.ndpi"])


class TestCommand:
    pytestmark = needs_slide

    @pytest.fixture
    def slide(self, tmp_path):
        from rasters.test_slides import draw_tissue, write_ome_tiff

        write_ome_tiff(tmp_path / "tissue.ome.tif", draw_tissue())
        return tmp_path / "tissue.ome.tif"

    def test_a_level_is_segmented(self, command, tiny_model, slide, tmp_path):
        out = tmp_path / "out"
        options = "--model", tiny_model, "--mpp", 0.5, "--tile", 96, "--out", out
        code, printed, errors = command("slide", slide, *options)
        assert code == 0, errors
        assert "tissue.ome.tif" in printed
        assert "150x210" in printed  # height and width of the second level
        content = json.loads((out / "tissue.geojson").read_text())
        assert content["type"] == "FeatureCollection"

    def test_bad_slides_and_levels_get_one_line(self, command, tiny_model, slide, tmp_path):
        (tmp_path / "bad.svs").write_bytes(np.zeros(100, np.uint8).tobytes())
        for source, options, message in (
            (slide, ("--level", 9), "has no level 9"),
            (tmp_path / "bad.svs", (), "bad.svs"),
            (tmp_path / "none.svs", (), "none.svs"),
        ):
            out = tmp_path / "out"
            arguments = "--model", tiny_model, *options, "--out", out
            code, _, errors = command("slide", source, *arguments)
            assert code != 0
            assert message in errors
            assert len(errors.strip().splitlines()) == 1
