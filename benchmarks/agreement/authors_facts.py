"""Compare label sets, configurations and rules for published files with the authors' repositories.

Needs Mask2Former, OneFormer, MaskFormer and detectron2 as folders, and PyYAML for their
configurations.

    python -m benchmarks.agreement.authors_facts MASK2FORMER ONEFORMER MASKFORMER DETECTRON2
"""

import ast
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.agreement.authors_yaml import Facts, Settings, name_of, read_all, their_facts
from unimask.checkpoints.authors.recognition import find_publication_by_size
from unimask.config import (
    ConvNeXtConfig,
    DeformablePixelDecoderConfig,
    DiNATConfig,
    EfficientNetLiteConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
    TimmConfig,
)
from unimask.label_sets import NUM_CLASSES, known_labels
from unimask.published.model_configs import MODEL_CONFIGS, ModelConfig

Class = dict[str, Any]

PixelDecoder = DeformablePixelDecoderConfig | FPNPixelDecoderConfig | FaPNPixelDecoderConfig
Queries = MaskedDecoderConfig | StandardDecoderConfig | PerPixelConfig | PerPixelPlusConfig


def constants(path: Path) -> dict[str, Any]:
    """Return the lists that a file assigns, without executing it."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def their_classes(mask2former: Path, detectron2: Path) -> dict[str, list[Class]]:
    """Return the authors' classes per label set."""
    built_in = constants(detectron2 / "detectron2/data/datasets/builtin_meta.py")
    folder = mask2former / "mask2former/data/datasets"

    def registered(name: str, constant: str) -> list[Class]:
        return constants(folder / f"register_{name}.py")[constant]

    coco, city = built_in["COCO_CATEGORIES"], built_in["CITYSCAPES_CATEGORIES"]
    ade = registered("ade20k_panoptic", "ADE20K_150_CATEGORIES")
    objects = registered("ade20k_instance", "ADE_CATEGORIES")
    video = constants(mask2former / "mask2former_video/data_video/datasets/ytvis.py")
    return {
        "youtube_vis_2019": video["YTVIS_CATEGORIES_2019"],
        "youtube_vis_2021": video["YTVIS_CATEGORIES_2021"],
        "coco_panoptic": coco,
        "coco_instance": [entry for entry in coco if entry["isthing"]],
        "coco_stuff": registered("coco_stuff_10k", "COCO_CATEGORIES"),
        "ade20k": ade,
        "ade20k_instance": [{**ade[entry["id"]], **entry} for entry in objects],
        "ade20k_full": registered("ade20k_full", "ADE20K_SEM_SEG_FULL_CATEGORIES"),
        "cityscapes": city,
        "cityscapes_instance": [entry for entry in city if entry["isthing"]],
        "mapillary_vistas": registered(
            "mapillary_vistas_panoptic", "MAPILLARY_VISTAS_SEM_SEG_CATEGORIES"
        ),
    }


def maskformers_classes(maskformer: Path) -> dict[str, list[Class]]:
    """Return the classes of MaskFormer's own lists; Mapillary's uses the dataset's names."""
    folder = maskformer / "mask_former/data/datasets"

    def registered(name: str, constant: str) -> list[Class]:
        return constants(folder / f"register_{name}.py")[constant]

    vistas = registered("mapillary_vistas", "MAPILLARY_VISTAS_SEM_SEG_CATEGORIES")
    return {
        "coco_stuff": registered("coco_stuff_10k", "COCO_CATEGORIES"),
        "ade20k": registered("ade20k_panoptic", "ADE20K_150_CATEGORIES"),
        "ade20k_full": registered("ade20k_full", "ADE20K_SEM_SEG_FULL_CATEGORIES"),
        "mapillary_vistas": [
            {"name": entry["readable"], "isthing": entry["instances"], "color": entry["color"]}
            for entry in vistas
            if entry["evaluate"]
        ],
    }


def compare_labels(name: str, classes: list[Class]) -> bool:
    """Print whether a label set equals the authors'."""
    ours = known_labels(name)
    colours = ours.colours or (None,) * len(ours)
    same = (
        ours.names == tuple(entry["name"].strip() for entry in classes)
        and ours.is_thing == tuple(bool(entry.get("isthing", 0)) for entry in classes)
        and colours == tuple(tuple(e["color"]) if "color" in e else None for e in classes)
    )
    summary = (
        f"{len(ours)} classes, {len(ours.things)} things, {sum(c is not None for c in colours)}"
    )
    print(f"{name:20} {summary} colours: {'as theirs' if same else 'NOT theirs'}")
    return same and NUM_CLASSES[name] == len(classes)


def parts_of(network: SegmenterConfig) -> tuple[PixelDecoder, Queries]:
    """Return pixel decoder and transformer decoder, which the families compared here have."""
    pixels, queries = network.pixel_decoder, network.transformer_decoder
    assert isinstance(pixels, PixelDecoder) and isinstance(queries, Queries)
    return pixels, queries


def our_facts(configuration: ModelConfig) -> Facts:
    """Return the facts of a configuration of ours, as `their_facts` does."""
    network = configuration.network()
    before, after = configuration.preprocessing(), configuration.postprocessing()
    tasks = set(configuration.publication.tasks)
    pixels, queries = parts_of(network)
    facts: Facts = {
        "labels": configuration.publication.labels,
        "classes": network.num_classes,
        "backbone": our_backbone(network),
        "widths": (pixels.dim, pixels.mask_dim),
        "mean, std": (before.mean, before.std),
        "size": (before.shortest_edge, before.longest_edge),
        "tasks": tasks,
        "top k": after.top_k,
        "clips": network.clips,
        "divisor": before.size_divisor,
        "resize": after.resize,
    }
    if "panoptic" in tasks:
        facts["thresholds"] = (after.object_threshold, after.overlap_threshold)
    if isinstance(queries, StandardDecoderConfig):
        facts["tasks"] = tasks - {"instance"}  # which its authors have no rule for
    if not isinstance(queries, PerPixelConfig):
        per_class = isinstance(queries, PerPixelPlusConfig)
        facts |= {
            "encoder": our_encoder(network),
            "queries": network.num_classes if per_class else queries.num_queries,
            "decoder": (queries.num_layers, queries.dim, queries.num_heads, queries.ffn_dim),
            "dropout": our_dropout(network),
            # Not numbers here, but how `modeling/` is built.
            "norms after sums, no encoder of the decoder's own": (True, True),
        }
    return facts | our_texts(network)


def our_dropout(network: SegmenterConfig) -> object:
    """Return the dropout; OneFormer's is that of its encoder and of its initial queries."""
    pixels, queries = parts_of(network)
    if network.task_queries is None or not isinstance(pixels, DeformablePixelDecoderConfig):
        return queries.dropout if not isinstance(queries, PerPixelConfig) else None
    same = pixels.dropout == network.task_queries.dropout
    return pixels.dropout if same else None


def our_encoder(network: SegmenterConfig) -> int:
    """Return the number of layers of the pixel decoder's transformer."""
    pixels, _ = parts_of(network)
    if isinstance(pixels, DeformablePixelDecoderConfig):
        return pixels.num_layers
    return pixels.encoder.num_layers if pixels.encoder else 0


def our_texts(network: SegmenterConfig) -> Facts:
    """Return the sizes of OneFormer's task token and texts."""
    task, texts = network.task_queries, network.text
    if task is None or texts is None:
        return {}
    return {
        "task": (task.num_layers, task.task_length),
        "texts": (
            texts.dim, texts.length, texts.num_layers, texts.vocabulary, texts.projector_layers,
            texts.context,
        ),
    }  # fmt: skip


def our_backbone(network: SegmenterConfig) -> tuple[object, ...]:
    """Return the sizes of a backbone, in the order of `their_backbone`."""
    match network.backbone:
        case ResNetConfig() as b:
            # Strides in 3x3 convolutions, and no dilations but DeepLab's, are no numbers here.
            fixed = (False, 1)
            return ("resnet", b.depths, b.stem, b.stem_channels, b.last_dilations, *fixed)
        case SwinConfig() as b:
            numbers = (b.embed_dim, b.depths, b.num_heads, b.window_size, b.mlp_ratio, b.drop_path)
        case ConvNeXtConfig() as b:
            numbers = (b.dims, b.depths, b.drop_path, b.layer_scale)
        case DiNATConfig() as b:
            numbers = (
                b.embed_dim, b.depths, b.num_heads, b.kernel_size, b.dilations, b.mlp_ratio,
                b.drop_path,
            )  # fmt: skip
        case EfficientNetLiteConfig() as b:
            numbers = (b.channels, b.depths, b.stem_channels)
        case TimmConfig() as b:
            numbers = (b.name,)
        case b:
            raise TypeError(f"{b.kind} belongs to no family that is compared here")
    return (network.backbone.kind, *numbers)


def compare_configurations(family: str, theirs: dict[Path, Settings]) -> list[bool]:
    """Print whether each configuration equals the authors' file."""
    fine = []
    for path, config in theirs.items():
        name = name_of(family, path, config)
        expected, found = their_facts(family, config), our_facts(MODEL_CONFIGS[name])
        wrong = [what for what in expected | found if expected.get(what) != found.get(what)]
        verdict = (
            f"differs in {', '.join(wrong)}" if wrong else f"{len(expected)} facts as configured"
        )
        print(f"{name:60} {verdict}")
        fine.append(not wrong)
    return fine


def compare_names(theirs: dict[str, dict[Path, Settings]]) -> bool:
    """Print whether there is one configuration for each of the authors' files."""
    names = [name_of(f, *item) for f, configs in theirs.items() for item in configs.items()]
    differ = MODEL_CONFIGS.keys() ^ set(names)
    same = not differ and len(names) == len(set(names))
    verdict = "one for each file of theirs" if same else f"NOT theirs: {sorted(differ)}"
    print(f"{len(MODEL_CONFIGS)} configurations, {verdict}")
    return same


def compare_file(family: str, url: str, configs: dict[Path, Settings]) -> bool:
    """Print whether a published file is recognised, by its name and by its folders alone."""
    *folders, stem, file = url.split("/")
    # The zoo's address of one Mapillary file lacks the 2 of its configuration's name.
    spelled = (stem, stem.replace("maskformer_", "maskformer2_"))
    folder_name = "/".join(folders).replace("_", "-") + "-segmentation/" if len(folders) > 1 else ""
    if folders[0] == "video_mask2former":
        folder_name = folders[1].replace("ytvis", "youtubevis")
    path = next(p for p in configs if folder_name in str(p) and p.stem in spelled)
    name = name_of(family, path, configs[path])
    configuration = MODEL_CONFIGS[name]
    found, assumed = find_publication_by_size(configuration.network(), Path("/downloads") / file)
    known = found is configuration.publication and file[12:18] in found.files and assumed is None
    # Under another file name the folders of its address identify it as well.
    renamed = Path("/zoo", *folders, stem, "model.pkl")
    again, assumed = find_publication_by_size(configuration.network(), renamed)
    known = known and again is configuration.publication and assumed is None
    print(f"{file} {'is' if known else 'is NOT'} taken for {name}")
    return known


def compare_zoo(family: str, repository: Path, configs: dict[Path, Settings]) -> list[bool]:
    """Compare the files that a repository's model zoo lists."""
    text = (repository / "MODEL_ZOO.md").read_text()
    urls = re.findall(r"dl.fbaipublicfiles.com/maskformer/(?:mask2former/)?([^\" )]+\.pkl)", text)
    return [compare_file(family, url, configs) for url in urls]


def main(mask2former: Path, oneformer: Path, maskformer: Path, detectron2: Path) -> None:
    """Compare all, and fail if anything differs."""
    classes = their_classes(mask2former, detectron2)
    fine = [compare_labels(*item) for item in classes.items()]
    fine += [compare_labels(*item) for item in maskformers_classes(maskformer).items()]
    theirs = {
        "mask2former": read_all(mask2former, mask2former / "mask2former/config.py", detectron2),
        "oneformer": read_all(oneformer, oneformer / "oneformer/config.py", detectron2),
        "maskformer": read_all(maskformer, maskformer / "mask_former/config.py", detectron2),
    }
    fine.append(compare_names(theirs))
    for family, configs in theirs.items():
        fine += compare_configurations(family, configs)
    known = compare_zoo("mask2former", mask2former, theirs["mask2former"])
    known += compare_zoo("maskformer", maskformer, theirs["maskformer"])
    print(
        f"{len(classes)} label sets, {len(MODEL_CONFIGS)} configurations and "
        f"{len(known)} files: {(fine + known).count(False)} differ"
    )
    sys.exit(not all(fine + known))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
