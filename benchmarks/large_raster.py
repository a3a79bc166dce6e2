"""Measure memory, continuation and speed of predictions of a large raster.

    python -m benchmarks.large_raster --folder DATA [--side 30000] [--scale 0.25]

DATA gets a rendered GeoTIFF of `--rendered` pixels per side, written by blocks, unless it is there.
A larger `--side` is a VRT that repeats it, so that rendering takes minutes instead of an hour; each
pixel of it is read and segmented like any other. The first run is killed, and the second continues
it. Memory is the proportional set size of all processes of a run.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

MODEL = "rendered-town"
SECONDS_PER_SAMPLE = 0.5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--rendered", type=int, default=8000)
    parser.add_argument("--scale", type=float, default=0.25)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--task", default="panoptic")
    parser.add_argument("--kill-after", type=float, default=120)
    parser.add_argument("--ratio-side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-run", action="store_true")
    options = parser.parse_args()
    image = prepare(options.folder, options.rendered, options.side)
    measure_ratio(image, options)
    if not options.skip_run:
        measure_run(image, options)


def prepare(folder: Path, rendered: int, side: int) -> Path:
    """Return a raster of a side, which is rendered and repeated as far as necessary."""
    source = folder / "image.tif"
    if not source.exists():
        from unimask.datasets.rendered_town import TownScene
        from unimask.datasets.rendered_town.geotiff import write_geotiff

        write_geotiff(TownScene(seed=11, size=(rendered, rendered)), folder, workers=2)
    if side == rendered:
        return source
    path = folder / f"image_{side}.vrt"
    path.write_text(repeated_vrt(source, rendered, side))
    return path


def repeated_vrt(source: Path, rendered: int, side: int) -> str:
    """Return a VRT that repeats a raster of three bands."""
    import rasterio  # pyright: ignore[reportMissingImports]

    with rasterio.open(source) as file:
        crs, transform = file.crs.to_wkt(), ", ".join(map(str, file.transform.to_gdal()))
    bands = []
    for band, colour in enumerate(("Red", "Green", "Blue"), start=1):
        parts = []
        for row in range(0, side, rendered):
            for column in range(0, side, rendered):
                height, width = min(rendered, side - row), min(rendered, side - column)
                parts.append(
                    f'<SimpleSource><SourceFilename relativeToVRT="1">{source.name}'
                    f"</SourceFilename><SourceBand>{band}</SourceBand>"
                    f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
                    f'<DstRect xOff="{column}" yOff="{row}" xSize="{width}" ySize="{height}"/>'
                    "</SimpleSource>"
                )
        interpretation = f"<ColorInterp>{colour}</ColorInterp>"
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}">{interpretation}{"".join(parts)}'
            "</VRTRasterBand>"
        )
    return (
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{''.join(bands)}</VRTDataset>"
    )


def measure_ratio(image: Path, options: argparse.Namespace) -> None:
    """Compare a raster with the same number of its tiles predicted one by one, in CPU time."""
    import tempfile

    import rasterio  # pyright: ignore[reportMissingImports]

    import unimask
    from unimask.inference.tiles import TileOptions

    model = unimask.load(MODEL, device="cpu")
    side = options.ratio_side
    with tempfile.TemporaryDirectory() as folder:
        crop = Path(folder) / "crop.tif"
        with rasterio.open(image) as file:
            pixels = file.read(window=((0, side), (0, side)))
            profile = {**file.profile, "driver": "GTiff", "height": side, "width": side}
        with rasterio.open(crop, "w", **profile) as file:
            file.write(pixels)
        array = np.ascontiguousarray(np.moveaxis(pixels, 0, 2))
        tiles = TileOptions(options.tile, 0.25, options.scale)
        grid, _ = model.tile_model(options.task).divide((side, side), tiles)
        shared = {"tile": options.tile, "scale": options.scale}
        whole, single = [], []
        for repeat in range(options.repeats):
            start = time.process_time()
            model.predict_raster(crop, Path(folder) / f"out{repeat}", options.task, **shared)
            whole.append(time.process_time() - start)
            start = time.process_time()
            for tile in grid.tiles():
                window = tile.window
                part = array[window.row : window.bottom, window.column : window.right]
                model.predict(part, options.task, **shared)
            single.append(time.process_time() - start)
    print(
        f"{side} x {side} pixels, {len(grid)} tiles of {options.tile}, scale {options.scale:g}: "
        f"raster {median(whole):.1f} s, tiles one by one {median(single):.1f} s (CPU time, median "
        f"of {options.repeats}); speed {median(single) / median(whole):.2f} of one by one",
        flush=True,
    )


def measure_run(image: Path, options: argparse.Namespace) -> None:
    """Run the command, kill it, run it again, and print time and memory."""
    out = options.folder / f"out_{options.side}_{options.task}"
    command = [sys.executable, "-m", "unimask", "predict", str(image), "--model", MODEL]
    command += ["--task", options.task, "--tile", str(options.tile), "--scale", f"{options.scale}"]
    command += ["--out", str(out), "--device", "cpu"]
    print(f"{options.side} x {options.side} pixels: unimask {' '.join(command[3:])}", flush=True)
    for limit in (options.kill_after, None):
        seconds, peak, code = run_measured(command, limit)
        end = "killed" if code == -signal.SIGKILL else f"exit code {code}"
        print(f"{seconds:.0f} s, {end}, peak {peak / 2**20:.0f} MiB over all processes", flush=True)
    for path in sorted(out.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")


def run_measured(command: list[str], limit: float | None) -> tuple[float, int, int]:
    """Return the seconds, the largest memory in bytes and the exit code of a command.

    Args:
        command: Command to run.
        limit: Seconds after which its processes are killed; None for no limit.
    """
    start = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(read_memory, session_processes(process.pid))))
        if limit is not None and time.monotonic() > start + limit:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(SECONDS_PER_SAMPLE)
    return time.monotonic() - start, peak, process.returncode


def session_processes(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def read_memory(process: int) -> int:
    """Return the proportional set size of a process in bytes, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
