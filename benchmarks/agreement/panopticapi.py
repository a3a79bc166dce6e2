"""Compare our panoptic quality with panopticapi's published evaluation, on the same files.

Needs panopticapi on the path (https://github.com/cocodataset/panopticapi) and COCO panoptic
ground truth (`panoptic.json` + `panoptic/`). Predictions are the ground truth with
random changes.

    python -m benchmarks.agreement.panopticapi DATA
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.datasets.objects.coco_panoptic import CocoPanoptic
from unimask.formats.panoptic_png import decode_ids, encode_ids
from unimask.metrics import PanopticQuality


def perturb(ids: np.ndarray, segments: list[dict], categories: list[int], seed: int):
    """Shift, relabel, drop and split segments."""
    random = np.random.default_rng(seed)
    moved = np.roll(ids, random.integers(-12, 13, 2), axis=(0, 1))
    out, info = np.zeros_like(ids), []
    for segment in segments:
        if random.random() < 0.1:
            continue
        mask = moved == segment["id"]
        parts = [mask]
        if random.random() < 0.2:
            half = np.arange(ids.shape[1]) < np.nonzero(mask.any(0))[0].mean()
            parts = [mask & half, mask & ~half]
        for part in parts:
            if part.any():
                category = segment["category_id"]
                if random.random() < 0.1:
                    category = int(random.choice(categories))
                info.append({"id": len(info) + 1, "category_id": category})
                out[part] = len(info)
    return out, info


def main(data: Path) -> None:
    """Score perturbed ground truth with both and print the scores."""
    from panopticapi.evaluation import pq_compute  # pyright: ignore[reportMissingImports]

    truth = json.loads((data / "panoptic.json").read_text())
    dataset = CocoPanoptic(data / "panoptic.json", data / "panoptic", data / "images")
    label_of = dataset.category_ids
    quality = PanopticQuality(dataset.labels)
    with tempfile.TemporaryDirectory() as name:
        folder, annotations = Path(name), []
        (folder / "png").mkdir()
        for seed, entry in enumerate(truth["annotations"]):
            ids = decode_ids(np.asarray(Image.open(data / "panoptic" / entry["file_name"])))
            segments = entry["segments_info"]
            found, info = perturb(ids, segments, list(label_of), seed)
            Image.fromarray(encode_ids(found)).save(folder / "png" / entry["file_name"])
            annotations.append(
                {
                    "image_id": entry["image_id"],
                    "file_name": entry["file_name"],
                    "segments_info": info,
                }
            )
            quality.update(
                found,
                {s["id"]: label_of[s["category_id"]] for s in info},
                ids,
                {s["id"]: label_of[s["category_id"]] for s in segments},
                frozenset(s["id"] for s in segments if s["iscrowd"]),
            )
        (folder / "png.json").write_text(json.dumps({**truth, "annotations": annotations}))
        theirs = pq_compute(
            str(data / "panoptic.json"),
            str(folder / "png.json"),
            str(data / "panoptic"),
            str(folder / "png"),
        )
    ours = quality.compute()
    worst = 0.0
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for key in ("pq", "sq", "rq"):
            pair = 100 * theirs[group][key], ours[key.upper() + suffix]
            worst = max(worst, abs(pair[0] - pair[1]))
            print(f"{group:7} {key.upper()}  panopticapi {pair[0]:.6f}  unimask {pair[1]:.6f}")
    print(f"greatest difference {worst:.2e}")
    sys.exit(worst > 1e-6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
