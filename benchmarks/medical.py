"""Train on the open medical data of the documentation, and score the result.

    python -m benchmarks.medical ultrasound usgra-seg/dataset OUT   # nerves and vessels, PNG
    python -m benchmarks.medical cord sct_example_data OUT          # spinal cord in T2, NIfTI

Both start from the pretrained light preset (extra `lite`). Runs that exist in OUT are not repeated.
The cord has one scan, of which `train` holds out the last fifth of the axial slices.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import unimask
from unimask.formats.atomic import atomic_path
from unimask.training.run_folder import RunFolder

ULTRASOUND: dict[str, Any] = {
    "names": ("background", "nerve", "vessel"),
    "steps": 1500,
    "size": 256,
}
CORD: dict[str, Any] = {"steps": 300, "size": 256, "evaluate_every": 50}


def copy_cord(source: Path, out: Path) -> Path:
    """Copy the T2 scan and its mask of the cord; return their folder."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("t2.nii.gz", "t2_seg-manual.nii.gz"):
        shutil.copyfile(source / "t2" / name, out / name)
    return out


def run(name: str, source: Path, out: Path) -> dict[str, Any]:
    """Train on one of the datasets unless that was done, and return the scores."""
    data = source if name == "ultrasound" else copy_cord(source, out / "cord_data")
    options = ULTRASOUND if name == "ultrasound" else CORD
    folder = out / name
    if not (folder / "weights" / "last").is_dir():
        unimask.train(data, out=folder, **options)
    report = unimask.evaluate(data, folder / "weights" / "last", boundaries=name == "ultrasound")
    rows = RunFolder(folder).rows()
    seconds = [float(row["seconds_per_step"]) for row in rows if row["seconds_per_step"]]
    curve = {row["step"]: round(float(row["score"]), 1) for row in rows if row["score"]}
    return {
        "data": name,
        "options": options,
        "median_seconds_per_step": sorted(seconds)[len(seconds) // 2],
        "mIoU_while_training": curve,
        **{
            key: report[key]
            for key in ("images", "metrics", "per_class", "volumes")
            if key in report
        },
    }


def main() -> None:
    """Train, score and save the scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=["ultrasound", "cord"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    scores = run(options.name, options.source, options.out)
    with atomic_path(options.out / f"medical_{options.name}.json") as path:
        path.write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(scores["per_class"], indent=2))


if __name__ == "__main__":
    main()
