"""Facts of the authors' configuration files under our names, read without running their code."""

import ast
import re
from pathlib import Path
from typing import Any

from unimask.published.model_configs import model_name

Settings = dict[str, Any]
Facts = dict[str, object]

LABELS = {
    "coco_2017_val": "coco_instance",
    "coco_2017_val_panoptic": "coco_panoptic",
    "coco_2017_val_panoptic_with_sem_seg": "coco_panoptic",
    "coco_2017_test_stuff_10k_sem_seg": "coco_stuff",
    "ade20k_sem_seg_val": "ade20k",
    "ade20k_panoptic_val": "ade20k",
    "ade20k_instance_val": "ade20k_instance",
    "ade20k_full_sem_seg_val": "ade20k_full",
    "cityscapes_fine_sem_seg_val": "cityscapes",
    "cityscapes_fine_panoptic_val": "cityscapes",
    "cityscapes_fine_instance_seg_val": "cityscapes_instance",
    "mapillary_vistas_sem_seg_val": "mapillary_vistas",
    "mapillary_vistas_panoptic_val": "mapillary_vistas",
    "ytvis_2019_val": "youtube_vis_2019",
    "ytvis_2021_val": "youtube_vis_2021",
}
"""Our label sets by the names of the datasets that they test on."""

RESNETS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
SWINS = {(96, 6): "swin-tiny", (96, 18): "swin-small", (128, 18): "swin-base"}


def defaults(path: Path, root: str) -> Settings:
    """Return the values that a file assigns to `root.A.B`, without executing it."""
    found: Settings = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Assign):
            continue
        head, *keys = ast.unparse(node.targets[0]).split(".")
        if head != root or not keys:
            continue
        try:
            value = ast.literal_eval(node.value)
        except ValueError:  # a node of their tree, or a call
            continue
        for key in reversed(keys):
            value = {key: value}
        found = merged(found, value)
    return found


def read_config(path: Path) -> Settings:
    """Read a configuration on top of its base configurations."""
    import yaml

    content = yaml.safe_load(re.sub(r"!!python/object/apply:eval", "", path.read_text()))
    base = content.pop("_BASE_", None)
    return merged(read_config(path.parent / base), content) if base else content


def merged(base: Settings, changes: Settings) -> Settings:
    """Merge changes into a base, section by section."""
    nested = {
        key: merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **nested}


def read_all(repository: Path, settings: Path, detectron2: Path) -> dict[Path, Settings]:
    """Read a repository's configurations, each on top of all defaults.

    Args:
        repository: Mask2Former's, OneFormer's or MaskFormer's folder.
        settings: Its `config.py`, which extends the defaults of detectron2 and of its DeepLab.
        detectron2: Detectron2's folder.
    """
    ground = defaults(detectron2 / "detectron2/config/defaults.py", "_C")
    for path in (detectron2 / "projects/DeepLab/deeplab/config.py", settings):
        ground = merged(ground, defaults(path, "cfg"))
    paths = sorted((repository / "configs").rglob("*.yaml"))
    return {
        path: merged(ground, read_config(path))
        for path in paths
        if not path.stem.startswith("Base-")
    }


def tested_on(config: Settings) -> str:
    """Return the test dataset of a configuration; OneFormer's for panoptic."""
    data = config["DATASETS"]
    datasets = data.get("TEST_PANOPTIC") or data["TEST"]
    return ast.literal_eval(datasets)[0] if isinstance(datasets, str) else datasets[0]


def name_of(family: str, path: Path, config: Settings) -> str:
    """Return our name of a configuration."""
    folders = path.parts[path.parts.index("configs") + 1 :]
    folder = folders[0].replace("_", "-").replace("youtubevis", "youtube-vis")
    data = re.sub("-panoptic$|-(150|19|65|847|171)(-panoptic)?$", "", folder)
    edge = re.search(r"_(\d+)x\1$", path.stem)
    before = re.match("(coco|cityscapes|mapillary)_pretrain_", path.stem)
    return model_name(
        baseline(config) or family,
        backbone_name(config, path.stem),
        data,
        "all" if family == "oneformer" else task_of(tested_on(config)),
        edge=int(edge[1]) if edge else None,
        pretrained_on=before[1].replace("mapillary", "mapillary-vistas") if before else None,
    )


def baseline(config: Settings) -> str | None:
    """Return the family of a per-pixel classification configuration."""
    heads = {"PerPixelBaselineHead": "per-pixel", "PerPixelBaselinePlusHead": "per-pixel-plus"}
    return heads.get(config["MODEL"]["SEM_SEG_HEAD"]["NAME"])


def task_of(dataset: str) -> str:
    """Return the task of a detectron2 dataset."""
    if "panoptic" in dataset:
        return "panoptic"
    objects = dataset.startswith("ytvis") or LABELS[dataset].endswith("_instance")
    return "instance" if objects else "semantic"


def backbone_name(config: Settings, stem: str) -> str:
    """Return our name of a backbone."""
    model = config["MODEL"]
    match model["BACKBONE"]["NAME"]:
        case "D2SwinTransformer":
            swin = model["SWIN"]
            name = SWINS.get((swin["EMBED_DIM"], swin["DEPTHS"][2]), "swin-large")
            # Only Mask2Former has it pretrained on less as well.
            more = name == "swin-base" and stem.startswith("maskformer2_") and "IN21k" in stem
            return f"{name}-IN21k" if more else name
        case "D2ConvNeXt":
            return "convnext-large" if model["CONVNEXT"]["DIMS"][0] == 192 else "convnext-xlarge"
        case "D2DiNAT":
            return "dinat-large"
    deeplab = model["RESNETS"]["STEM_TYPE"] == "deeplab"
    return f"resnet{model['RESNETS']['DEPTH']}{'c' if deeplab else ''}"


def their_facts(family: str, config: Settings) -> Facts:
    """Return the facts of a configuration: network, classes and test settings."""
    model, image = config["MODEL"], config["INPUT"]
    section = model["ONE_FORMER" if family == "oneformer" else "MASK_FORMER"]
    test = model["TEST"] if family == "oneformer" else section["TEST"]
    # MaskFormer always predicts semantic segmentation, and has no rule for instances.
    on = {"semantic"} if test.get("SEMANTIC_ON", True) else set()
    on |= {task for task in ("instance", "panoptic") if test.get(f"{task.upper()}_ON")}
    labels = LABELS[tested_on(config)]
    clips = "Video" in section.get("TRANSFORMER_DECODER_NAME", "")
    facts: Facts = {
        "labels": labels,
        "classes": model["SEM_SEG_HEAD"]["NUM_CLASSES"],
        "backbone": their_backbone(config),
        "widths": (model["SEM_SEG_HEAD"]["CONVS_DIM"], model["SEM_SEG_HEAD"]["MASK_DIM"]),
        "mean, std": (tuple(model["PIXEL_MEAN"]), tuple(model["PIXEL_STD"])),
        "size": (image["MIN_SIZE_TEST"], image["MAX_SIZE_TEST"]),
        # They enable all tasks for ADE20K's instances, whose classes are all things.
        "tasks": {"instance"} if labels == "ade20k_instance" else on,
        # Their rule for videos has this number in its code (`inference_video`).
        "top k": 10 if clips else config["TEST"]["DETECTIONS_PER_IMAGE"],
        "clips": clips,
    }
    if "panoptic" in on and labels != "ade20k_instance":
        facts["thresholds"] = (test["OBJECT_MASK_THRESHOLD"], test["OVERLAP_THRESHOLD"])
    if baseline(config):
        # Not padded, but scores are enlarged four times over what an image touches.
        facts |= {"divisor": 4, "resize": "masks"}
        if baseline(config) == "per-pixel":
            return facts
    else:
        facts |= {
            "divisor": max(1, section["SIZE_DIVISIBILITY"]),
            "resize": "scores" if on == {"semantic"} and not at_once(section) else "masks",
        }
    final = section["DEC_LAYERS"] - (family != "maskformer")  # theirs counts the bare queries
    return facts | {
        "encoder": their_encoder(model["SEM_SEG_HEAD"]),
        "queries": section["NUM_OBJECT_QUERIES"],
        "decoder": (final, section["HIDDEN_DIM"], section["NHEADS"], section["DIM_FEEDFORWARD"]),
        "dropout": section["DROPOUT"],
        "norms after sums, no encoder of the decoder's own": (
            not section["PRE_NORM"],
            section["ENC_LAYERS"] == 0,
        ),
        **(their_texts(config) if family == "oneformer" else {}),
    }


def at_once(section: Settings) -> bool:
    """Return whether semantic networks resize masks before they combine them."""
    return bool(section["TEST"].get("SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE"))


def their_encoder(head: Settings) -> int:
    """Return the number of layers of the pixel decoder's transformer."""
    plain = head.get("PIXEL_DECODER_NAME") == "BasePixelDecoder"
    return 0 if plain else head["TRANSFORMER_ENC_LAYERS"]


def their_texts(config: Settings) -> Facts:
    """Return the sizes of OneFormer's task token and texts."""
    section, texts = config["MODEL"]["ONE_FORMER"], config["MODEL"]["TEXT_ENCODER"]
    keys = ("WIDTH", "CONTEXT_LENGTH", "NUM_LAYERS", "VOCAB_SIZE", "PROJ_NUM_LAYERS", "N_CTX")
    return {
        "task": (section["CLASS_DEC_LAYERS"], config["INPUT"]["TASK_SEQ_LEN"]),
        "texts": tuple(texts[key] for key in keys),
    }


def their_backbone(config: Settings) -> tuple[object, ...]:
    """Return the sizes of a backbone."""
    model = config["MODEL"]
    name = model["BACKBONE"]["NAME"]
    sections = {"D2SwinTransformer": "SWIN", "D2ConvNeXt": "CONVNEXT", "D2DiNAT": "DiNAT"}
    if name not in sections:
        resnet = model["RESNETS"]
        deeplab = name == "build_resnet_deeplab_backbone"
        return (
            "resnet",
            RESNETS[resnet["DEPTH"]],
            "deeplab" if deeplab else "basic",
            resnet["STEM_OUT_CHANNELS"],
            tuple(resnet["RES5_MULTI_GRID"]) if deeplab else (),
            resnet["STRIDE_IN_1X1"],
            resnet["RES5_DILATION"],
        )
    numbers = model[sections[name]]
    keys = {
        "SWIN": ("EMBED_DIM", "DEPTHS", "NUM_HEADS", "WINDOW_SIZE", "MLP_RATIO", "DROP_PATH_RATE"),
        "CONVNEXT": ("DIMS", "DEPTHS", "DROP_PATH_RATE", "LSIT"),
        "DiNAT": (
            "EMBED_DIM", "DEPTHS", "NUM_HEADS", "KERNEL_SIZE", "DILATIONS", "MLP_RATIO",
            "DROP_PATH_RATE",
        ),
    }[sections[name]]  # fmt: skip
    return (sections[name].lower(), *(as_tuples(numbers[key]) for key in keys))


def as_tuples(value: object) -> object:
    """Convert lists to tuples, recursively."""
    return tuple(as_tuples(part) for part in value) if isinstance(value, list) else value
