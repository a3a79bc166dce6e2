"""Real rasters, from the folder of data."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def geo_data():
    folder = Path(os.environ.get("UNIMASK_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "geo").is_dir():
        pytest.skip(f"no rasters at {folder / 'geo'}; set UNIMASK_DATA")
    return folder / "geo"
