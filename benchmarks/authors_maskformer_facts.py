"""Hold labels and rules for MaskFormer's 30 published files against its authors' repository.

Needs MaskFormer and detectron2 as folders, and PyYAML for their configurations.

    python benchmarks/authors_maskformer_facts.py MASKFORMER DETECTRON2
"""

import ast
import re
import sys
from pathlib import Path
from typing import Any

from authors_facts import compare_labels, constants, merged, read_config

from unimask.checkpoints.publication import Publication, is_per_pixel
from unimask.checkpoints.published import publication_of_size
from unimask.config import (
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
)
from unimask.label_sets import SIZES


def settings(path: Path) -> dict[str, Any]:
    """Give the numbers that a Python file sets (`cfg.A.B = 1`), without running it."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            parts = ast.unparse(node.targets[0]).split(".")[1:]
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            for part in reversed(parts):
                value = {part: value}
            found = merged(found, value)
    return found


def network_of(config: dict[str, Any]) -> SegmenterConfig:
    """Give the network that a configuration describes, in our words."""
    model = config["MODEL"]
    head, former = model["SEM_SEG_HEAD"], model["MASK_FORMER"]
    if model["BACKBONE"]["NAME"] == "D2SwinTransformer":
        backbone = SwinConfig(embed_dim=model["SWIN"]["EMBED_DIM"])
    else:
        deeplab = model["BACKBONE"]["NAME"] == "build_resnet_deeplab_backbone"
        backbone = ResNetConfig(stem="deeplab" if deeplab else "basic")
    encoded = head["PIXEL_DECODER_NAME"] == "TransformerEncoderPixelDecoder"
    layers = MapEncoderConfig(num_layers=head["TRANSFORMER_ENC_LAYERS"]) if encoded else None
    decoders = {
        "MaskFormerHead": StandardDecoderConfig(num_queries=former["NUM_OBJECT_QUERIES"]),
        "PerPixelBaselineHead": PerPixelConfig(),
        "PerPixelBaselinePlusHead": PerPixelPlusConfig(),
    }
    return SegmenterConfig(
        backbone=backbone,
        pixel_decoder=FPNPixelDecoderConfig(encoder=layers),
        transformer_decoder=decoders[head["NAME"]],
        num_classes=head["NUM_CLASSES"],
    )


def unfixed(config: dict[str, Any]) -> list[str]:
    """Say what a configuration leaves open that no file tells, and that is fixed here."""
    former, resnet = config["MODEL"]["MASK_FORMER"], config["MODEL"]["RESNETS"]
    deeplab = config["MODEL"]["BACKBONE"]["NAME"] == "build_resnet_deeplab_backbone"
    same = {
        "heads": former["NHEADS"] == 8,
        "dropout": former["DROPOUT"] == 0.1,
        "norms before sums": former["PRE_NORM"] is False,
        "an encoder of the decoder's own": former["ENC_LAYERS"] == 0,
        "strides": resnet["STRIDE_IN_1X1"] is False and resnet["RES5_DILATION"] == 1,
        "dilations": resnet["RES5_MULTI_GRID"] == ([1, 2, 4] if deeplab else [1, 1, 1]),
        "stem": resnet["STEM_TYPE"] == ("deeplab" if deeplab else "basic"),
    }
    return [what for what, agrees in same.items() if not agrees]


def differences(found: Publication, network: SegmenterConfig, config: dict[str, Any]) -> list[str]:
    """Say where our rules are not those of a configuration."""
    former, picture = config["MODEL"]["MASK_FORMER"], config["INPUT"]
    test, ours = former["TEST"], found.preprocessing(network)
    on = {"semantic", "panoptic"} if test["PANOPTIC_ON"] else {"semantic"}
    rules = found.postprocessing(network)
    padding = 4 if is_per_pixel(network) else max(1, former["SIZE_DIVISIBILITY"])
    after = on == {"semantic"} and not test["SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE"]
    sizes = (picture["MIN_SIZE_TEST"], picture["MAX_SIZE_TEST"])
    same = {
        "classes": SIZES[found.labels] == config["MODEL"]["SEM_SEG_HEAD"]["NUM_CLASSES"],
        "size": (ours.shortest_edge, ours.longest_edge) == sizes,
        "padding": ours.size_divisor == padding,
        "colours": list(ours.mean) == config["MODEL"]["PIXEL_MEAN"]
        and list(ours.std) == config["MODEL"]["PIXEL_STD"],
        "tasks": set(found.tasks) - {"instance"} == on,  # Mask2Former's rule of instances is ours
        "resize": rules.resize == ("scores" if after and not is_per_pixel(network) else "masks"),
        "overlap": "panoptic" not in on or rules.overlap_threshold == test["OVERLAP_THRESHOLD"],
        "object": "panoptic" not in on or rules.object_threshold == test["OBJECT_MASK_THRESHOLD"],
        "winner": rules.uncertain_pixels == "winner" or "panoptic" not in on,
    }
    return [what for what, agrees in same.items() if not agrees]


def compare_file(url: str, maskformer: Path, defaults: dict[str, Any]) -> bool:
    """Print whether a published file would be built and tested as its configuration says."""
    _, name, file = url.split("/")
    (path,) = (maskformer / "configs").rglob(f"{name}.yaml")
    config = merged(defaults, read_config(path))
    network = network_of(config)
    found, assumed = publication_of_size(network, Path("/downloads") / file)
    if file[12:18] not in found.files or assumed is not None:
        print(f"{url}: NOT known")
        return False
    wrong = unfixed(config) + differences(found, network, config)
    ours, rules = found.preprocessing(network), found.postprocessing(network)
    told = f"{found.labels}, {'+'.join(found.tasks)}, {ours.shortest_edge}/{ours.longest_edge}"
    told += f" by {ours.size_divisor}, {rules.resize}"
    print(f"{file} {told}: {'differs in ' + ', '.join(wrong) if wrong else 'as configured'}")
    return not wrong


def compare_folder(url: str) -> bool:
    """Say whether a file of another name is known by the folders of its address, without doubt."""
    place, name, _ = url.split("/")
    task, dataset = place.split("-", 1)
    labels = {
        "coco": "coco_panoptic", "coco-stuff-10k": "coco_stuff", "ade20k": "ade20k",
        "ade20k-full": "ade20k_full", "cityscapes": "cityscapes",
        "mapillary-vistas": "mapillary_vistas",
    }[dataset]  # fmt: skip
    network = SegmenterConfig(
        backbone=ResNetConfig(),
        pixel_decoder=FPNPixelDecoderConfig(),
        transformer_decoder=StandardDecoderConfig(),
        num_classes=SIZES[labels],
    )
    found, assumed = publication_of_size(network, Path("/zoo") / place / name / "model.pkl")
    return assumed is None and (found.labels, found.task) == (labels, task)


def main(maskformer: Path, detectron2: Path) -> None:
    """Compare all, and fail if anything differs."""
    folder = maskformer / "mask_former/data/datasets"
    named = {
        "coco_stuff": ("coco_stuff_10k", "COCO_CATEGORIES"),
        "ade20k": ("ade20k_panoptic", "ADE20K_150_CATEGORIES"),
        "ade20k_full": ("ade20k_full", "ADE20K_SEM_SEG_FULL_CATEGORIES"),
        "mapillary_vistas": ("mapillary_vistas", "MAPILLARY_VISTAS_SEM_SEG_CATEGORIES"),
    }
    fine = []
    for name, (file, constant) in named.items():
        classes = constants(folder / f"register_{file}.py")[constant]
        if name == "mapillary_vistas":  # the list has Mapillary's own words
            classes = [
                {"name": entry["readable"], "isthing": entry["instances"], "color": entry["color"]}
                for entry in classes
                if entry["evaluate"]
            ]
        fine.append(compare_labels(name, classes))
    built_in = settings(detectron2 / "detectron2/config/defaults.py")
    deeplab = settings(detectron2 / "projects/DeepLab/deeplab/config.py")
    theirs = settings(maskformer / "mask_former/config.py")
    defaults = merged(merged(built_in, deeplab), theirs)
    zoo = (maskformer / "MODEL_ZOO.md").read_text()
    urls = re.findall(r"fbaipublicfiles.com/maskformer/([^\" )]+\.pkl)", zoo)
    fine += [compare_file(url, maskformer, defaults) for url in urls]
    known = [compare_folder(url) for url in urls]
    print(f"{known.count(True)} of {len(urls)} are known by their folders alone")
    fine += known
    print(f"{len(named)} label sets and {len(urls)} files, {fine.count(False)} differ")
    sys.exit(not all(fine))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
