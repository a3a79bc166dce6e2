"""Hold label sets and rules for published files against the authors' repositories.

Needs Mask2Former and detectron2 as folders, and PyYAML for their configurations.

    python benchmarks/authors_facts.py MASK2FORMER DETECTRON2
"""

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from unimask.checkpoints.published import Publication, publication_of_size
from unimask.config import PreprocessingConfig, SwinConfig
from unimask.label_sets import SIZES, known_colours, known_labels
from unimask.labels import TASKS
from unimask.presets import mask2former_swin_tiny

Class = dict[str, Any]


def constants(path: Path) -> dict[str, Any]:
    """Give the lists that a file assigns, without running it."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def their_classes(mask2former: Path, detectron2: Path) -> dict[str, list[Class]]:
    """Give the authors' classes per label set."""
    built_in = constants(detectron2 / "detectron2/data/datasets/builtin_meta.py")
    folder = mask2former / "mask2former/data/datasets"

    def registered(name: str, constant: str) -> list[Class]:
        return constants(folder / f"register_{name}.py")[constant]

    coco, city = built_in["COCO_CATEGORIES"], built_in["CITYSCAPES_CATEGORIES"]
    ade = registered("ade20k_panoptic", "ADE20K_150_CATEGORIES")
    objects = registered("ade20k_instance", "ADE_CATEGORIES")
    return {
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


def compare_labels(name: str, classes: list[Class]) -> bool:
    """Print whether a label set is theirs."""
    ours, colours = known_labels(name), known_colours(name)
    same = (
        ours.names == tuple(entry["name"].strip() for entry in classes)
        and ours.is_thing == tuple(bool(entry.get("isthing", 0)) for entry in classes)
        and colours == tuple(tuple(e["color"]) if "color" in e else None for e in classes)
    )
    told = f"{len(ours)} classes, {len(ours.things)} things, {sum(c is not None for c in colours)}"
    print(f"{name:20} {told} colours: {'as theirs' if same else 'NOT theirs'}")
    return same and SIZES[name] == len(classes)


def read_config(path: Path) -> dict:
    """Read a configuration on top of those that it names as its base."""
    import yaml

    content = yaml.safe_load(re.sub(r"!!python/object/apply:eval", "", path.read_text()))
    base = content.pop("_BASE_", None)
    return merged(read_config(path.parent / base), content) if base else content


def merged(base: dict, changes: dict) -> dict:
    """Put changes over a base, section by section."""
    nested = {
        key: merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **nested}


def compare_file(url: str, mask2former: Path, default: tuple[int, int]) -> bool:
    """Print whether a published file would be tested as its configuration says."""
    dataset, task, name, file = url.split("/")
    # The zoo's address of one Mapillary file lacks the 2 of its configuration's name.
    spelled = (name, name.replace("maskformer_", "maskformer2_"))
    folder = mask2former / "configs" / dataset.replace("_", "-") / f"{task}-segmentation"
    path = next(p for p in sorted(folder.rglob("*.yaml")) if p.stem in spelled)
    config = read_config(path)
    head, former = config["MODEL"]["SEM_SEG_HEAD"], config["MODEL"]["MASK_FORMER"]
    test, picture = former["TEST"], config["INPUT"]
    network = mask2former_swin_tiny(head["NUM_CLASSES"])
    queries = replace(network.transformer_decoder, num_queries=former["NUM_OBJECT_QUERIES"])
    network = replace(network, transformer_decoder=queries)
    found, assumed = publication_of_size(network, Path("/downloads") / file)
    if file[12:18] not in found.files or assumed is not None:
        print(f"{url}: NOT known")
        return False
    swin = config["MODEL"].get("SWIN", {}).get("EMBED_DIM", 96)
    size = picture.get("MIN_SIZE_TEST", default[0]), picture.get("MAX_SIZE_TEST", default[1])
    network = replace(network, backbone=SwinConfig(embed_dim=swin))
    wrong = differences(found, found.preprocessing(network), test, size)
    resize = found.postprocessing(network).resize
    told = f"{found.labels}, {'+'.join(found.tasks)}, {size[0]}/{size[1]}, {resize}"
    print(f"{file} {told}: {'differs in ' + ', '.join(wrong) if wrong else 'as configured'}")
    return not wrong


def differences(
    found: Publication, ours: PreprocessingConfig, test: dict, size: tuple[int, int]
) -> list[str]:
    """Say where our rules are not those of a configuration."""
    on = {task for task in TASKS if test[f"{task.upper()}_ON"]}
    things = found.labels == "ade20k_instance"  # where they switch all on, for things alone
    rules = found.postprocessing(mask2former_swin_tiny())
    same = {
        "size": (ours.shortest_edge, ours.longest_edge) == size,
        "tasks": set(found.tasks) == on or (things and set(found.tasks) < on),
        "resize": rules.resize == ("scores" if on == {"semantic"} else "masks"),
        "overlap": rules.overlap_threshold == test["OVERLAP_THRESHOLD"],
        "object": "panoptic" not in on or rules.object_threshold == test["OBJECT_MASK_THRESHOLD"],
    }
    return [what for what, agrees in same.items() if not agrees]


def main(mask2former: Path, detectron2: Path) -> None:
    """Compare all, and fail if anything differs."""
    classes = their_classes(mask2former, detectron2)
    fine = [compare_labels(name, classes[name]) for name in SIZES]
    defaults = (detectron2 / "detectron2/config/defaults.py").read_text()
    edges = [re.search(rf"{edge}_SIZE_TEST = (\d+)", defaults) for edge in ("MIN", "MAX")]
    default = tuple(int(edge[1]) for edge in edges if edge)
    zoo = (mask2former / "MODEL_ZOO.md").read_text()
    urls = re.findall(r"maskformer/mask2former/([^\" )]+\.pkl)", zoo)
    fine += [compare_file(url, mask2former, default) for url in urls]  # type: ignore[arg-type]
    print(f"{len(SIZES)} label sets and {len(urls)} files, {fine.count(False)} differ")
    sys.exit(not all(fine))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
