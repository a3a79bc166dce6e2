"""Publications are recognised by labels, sizes and file names."""

from dataclasses import replace
from pathlib import Path

import pytest

from unimask.checkpoints.authors.recognition import (
    find_publication_by_names,
    find_publication_by_size,
    find_publication_by_task,
    segments_clips,
)
from unimask.config import (
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.errors import CheckpointError
from unimask.label_sets import NUM_CLASSES, known_labels
from unimask.labels import LabelSet
from unimask.presets import (
    detr_resnet50,
    mask2former_resnet50,
    mask2former_swin_tiny,
    maskformer_resnet50,
    maskformer_swin_tiny,
    oneformer_swin_tiny,
    per_pixel_resnet50,
)
from unimask.published.publication_tables import (
    BASELINES,
    CLIPS,
    DETRS,
    MASK2FORMERS,
    MASKFORMERS,
    PUBLICATIONS,
    UNPUBLISHED,
    UNPUBLISHED_CLIPS,
)

LARGE = SwinConfig(embed_dim=192)
PAIRS = [(False, p) for p in MASK2FORMERS] + [(True, p) for p in MASKFORMERS]


def network(
    classes: int = 133, queries: int = 100, *, task: bool = False, maskformer: bool = False
) -> SegmenterConfig:
    if maskformer:
        return maskformer_swin_tiny(classes)
    config = (oneformer_swin_tiny if task else mask2former_swin_tiny)(classes)
    decoder = replace(config.transformer_decoder, num_queries=queries)
    return replace(config, transformer_decoder=decoder)


def clips(classes: int) -> SegmenterConfig:
    config = network(classes)
    return replace(config, transformer_decoder=replace(config.transformer_decoder, clips=True))


def test_every_published_file_is_listed_once():
    """47 networks of Mask2Former's zoo segment images and 12 video; 30 are of MaskFormer's."""
    groups = (MASK2FORMERS, CLIPS, MASKFORMERS + BASELINES, DETRS, PUBLICATIONS)
    assert [sum(len(p.files) for p in published) for published in groups] == [47, 12, 30, 3, 92]
    names = set[str]().union(*(publication.files for publication in PUBLICATIONS))
    assert len(names) == 47 + 30 + 12 + 3
    assert all(len(name) in (6, 8) and int(name, 16) for name in names)
    assert {publication.labels for publication in PUBLICATIONS} <= NUM_CLASSES.keys()


@pytest.mark.parametrize(("maskformer", "publication"), PAIRS)
def test_published_files_are_recognised_in_any_folder(maskformer, publication):
    config = network(NUM_CLASSES[publication.labels], maskformer=maskformer)
    for name in publication.files:
        path = Path(f"/downloads/model_final_{name}.pkl")
        actual, assumed = find_publication_by_size(config, path)
        assert actual is publication and assumed is None


@pytest.mark.parametrize(("maskformer", "publication"), PAIRS)
def test_folder_names_determine_dataset_and_task(maskformer, publication):
    dataset = max(publication.dataset, key=len)
    config = network(NUM_CLASSES[publication.labels], maskformer=maskformer)
    for path in (
        f"/zoo/{dataset}/{publication.task}/maskformer2_R50_bs16/model_final.pth",
        f"/models--facebook--mask2former-swin-tiny-{dataset}-{publication.task}/snapshots/ab/",
    ):
        actual, assumed = find_publication_by_size(config, Path(path))
        assert actual is publication and assumed is None
        names = known_labels(publication.labels).names
        assert find_publication_by_names(config, names, Path(path)) is publication


@pytest.mark.parametrize(
    ("classes", "queries", "path", "labels", "task"),
    [
        (133, 100, "/x/a.pkl", "coco_panoptic", "panoptic"),
        (80, 200, "/x/a.pkl", "coco_instance", "instance"),
        (150, 100, "/x/a.pkl", "ade20k", "semantic"),
        (150, 200, "/x/a.pkl", "ade20k", "panoptic"),
        (150, 100, "/x/panoptic/a.pkl", "ade20k", "panoptic"),
        (65, 200, "/x/semantic.pkl", "mapillary_vistas", "semantic"),
        (133, 100, "/x/instance/a.pkl", "coco_panoptic", "panoptic"),
        (133, 100, "/x/model_final_3c8ec9.pkl", "coco_panoptic", "panoptic"),
    ],
)
def test_unknown_tasks_are_assumed_and_reported(classes, queries, path, labels, task):
    actual, assumed = find_publication_by_size(network(classes, queries), Path(path))
    assert (actual.labels, actual.task) == (labels, task)
    assert path in assumed and labels in assumed and str(classes) in assumed


def test_unknown_classes_are_numbered_and_reported():
    actual, assumed = find_publication_by_size(network(7), Path("/x/a.pkl"))
    assert actual is UNPUBLISHED and "no published network has 7" in assumed
    assert find_publication_by_names(network(), ["cell", "ground"], Path("/x")) is UNPUBLISHED
    assert actual.label_set(2) == LabelSet(("class 0", "class 1"), (True, True))
    assert actual.preprocessing(network()) == PreprocessingConfig()
    assert actual.postprocessing(network()) == PostprocessingConfig()


@pytest.mark.parametrize("year", [2019, 2021])
def test_networks_of_clips_are_recognised_by_file_or_folder(year):
    (publication,) = (p for p in CLIPS if p.data == f"youtube-vis-{year}")
    assert len(publication.files) == 6
    config, folder = clips(40), f"ytvis_{year}/video_maskformer2_R50_bs16_8ep/model_final.pkl"
    names = [f"/downloads/model_final_{name}.pkl" for name in publication.files]
    for path in (*names, f"/zoo/{folder}", f"/x/youtubevis-{year}/a.pth", f"/x/YTVIS{year}.pth"):
        assert segments_clips(network(40), Path(path))
        actual, assumed = find_publication_by_size(config, Path(path))
        assert actual is publication and assumed is None
    labels = known_labels(publication.labels).names
    assert find_publication_by_names(config, labels, Path("/x")) is publication
    assert find_publication_by_task(config, labels, ["instance"]) is publication
    assert find_publication_by_names(network(40), labels, Path("/x")) is UNPUBLISHED
    sizes = {"resnet": mask2former_resnet50(40), "swin": network(40)}
    edges = {name: publication.preprocessing(c).shortest_edge for name, c in sizes.items()}
    assert edges == {"resnet": 360, "swin": 480}
    assert publication.postprocessing(config).top_k == 10 and publication.tasks == ("instance",)


@pytest.mark.parametrize(
    "path", ["/x/model.pkl", "/x/2019/model.pkl", "/x/ytvis/model.pkl", "/ytvis_2019/ytvis_2021/a"]
)
def test_forty_classes_need_a_year(path):
    assert segments_clips(network(40), Path(path))
    with pytest.raises(CheckpointError, match=f"{path} has 40 classes.*ytvis_2019 or ytvis_2021"):
        find_publication_by_size(clips(40), Path(path))


def test_networks_for_images_are_not_taken_for_networks_of_clips():
    assert not segments_clips(network(40), Path("/x/images/model.pkl"))
    assert not segments_clips(network(133), Path("/x/model.pkl"))
    assert not segments_clips(network(40, task=True), Path("/x/ytvis_2019/model.pkl"))
    assert not segments_clips(network(40, maskformer=True), Path("/x/model.pkl"))
    assert find_publication_by_size(network(40), Path("/x/a.pkl"))[0] is UNPUBLISHED


def test_classes_of_unknown_networks_of_clips_are_numbered():
    path = Path("/x/video_maskformer2_R50_ovis/model.pkl")
    assert segments_clips(network(25), path)
    actual, assumed = find_publication_by_size(clips(25), path)
    assert actual is UNPUBLISHED_CLIPS and "no published network of clips has 25" in assumed
    assert find_publication_by_names(clips(2), ["cell", "ground"], path) is UNPUBLISHED_CLIPS


def rules(labels, task):
    return next(p for p in MASK2FORMERS if (p.labels, p.task) == (labels, task))


def test_sizes_and_rules_are_those_of_the_configurations():
    sizes = {
        ("coco_panoptic", "panoptic"): (800, 1333),
        ("coco_instance", "instance"): (800, 1333),
        ("ade20k", "semantic"): (512, 2048),
        ("ade20k", "panoptic"): (640, 2560),
        ("ade20k_instance", "instance"): (640, 2560),
        ("cityscapes", "semantic"): (1024, 2048),
        ("mapillary_vistas", "panoptic"): (2048, 2048),
    }
    for key, size in sizes.items():
        actual = rules(*key).preprocessing(mask2former_resnet50())
        assert (actual.shortest_edge, actual.longest_edge) == size
    wide = rules("ade20k", "semantic").preprocessing(replace(network(), backbone=LARGE))
    assert (wide.shortest_edge, wide.longest_edge) == (640, 2560)
    for _, publication in PAIRS:
        only_semantic = publication.task == "semantic"
        assert publication.postprocessing(network()).resize == (
            "scores" if only_semantic else "masks"
        )
        assert publication.tasks[0] == publication.task
    mapillary = rules("mapillary_vistas", "panoptic")
    assert mapillary.tasks == ("panoptic", "semantic")
    assert mapillary.postprocessing(network()).object_threshold == 0.0


@pytest.mark.parametrize(
    ("classes", "name", "backbone", "labels", "size", "threshold"),
    [
        (133, "150_16_swin_l_oneformer_coco_100ep", LARGE, "coco_panoptic", (800, 1333), 0.8),
        (150, "250_16_swin_l_oneformer_ade20k_160k", LARGE, "ade20k", (640, 2560), 0.5),
        (150, "oneformer_ade20k_swin_tiny", SwinConfig(), "ade20k", (512, 2048), 0.5),
        (150, "896x896_250_16_swin_l_ade20k", LARGE, "ade20k", (896, 3584), 0.5),
        (150, "1280x1280_250_16_swin_l_ade20k", LARGE, "ade20k", (1280, 5120), 0.5),
        (19, "anything", LARGE, "cityscapes", (1024, 2048), 0.8),
        (65, "anything", LARGE, "mapillary_vistas", (2048, 2048), 0.8),
    ],
)
def test_oneformers_do_all_tasks_at_their_own_sizes(
    classes, name, backbone, labels, size, threshold
):
    config = network(classes, 250, task=True)
    actual, assumed = find_publication_by_size(config, Path(f"/x/{name}.pth"))
    assert assumed is None and actual.labels == labels and len(actual.tasks) == 3
    tested = actual.preprocessing(replace(config, backbone=backbone))
    assert (tested.shortest_edge, tested.longest_edge) == size
    rules = actual.postprocessing(config)
    assert (rules.object_threshold, rules.top_k, rules.resize) == (threshold, 250, "masks")
    names = known_labels(labels).names
    assert find_publication_by_names(config, names, Path(f"/x/{name}")) == actual


@pytest.mark.parametrize("hub", ["facebook/maskformer-swin-base-ade", "owner/anything"])
def test_maskformers_of_ade20k_are_semantic_unless_they_have_an_encoder(hub):
    """Of the published networks, those on the Hub have no encoder and are semantic."""
    names, snapshot = known_labels("ade20k").names, Path("/cache") / hub.replace("/", "--") / "ab"
    semantic, panoptic = (
        next(p for p in MASKFORMERS if (p.labels, p.task) == ("ade20k", task))
        for task in ("semantic", "panoptic")
    )
    plain, encoded = maskformer_swin_tiny(150), maskformer_resnet50(150)
    assert find_publication_by_names(plain, names, snapshot) is semantic
    assert find_publication_by_names(encoded, names, snapshot) is panoptic
    assert find_publication_by_names(plain, names, Path("/ade20k/panoptic/x")) is panoptic
    assert find_publication_by_size(plain, Path("/x/a.pkl"))[0] is semantic
    assert find_publication_by_size(encoded, Path("/x/a.pkl"))[0] is panoptic


def test_sizes_and_rules_of_maskformers_are_those_of_the_configurations():
    actual = {(p.labels, p.task): p for p in MASKFORMERS}
    ade = actual["ade20k", "panoptic"].postprocessing(network(maskformer=True))
    assert (ade.object_threshold, ade.overlap_threshold) == (0.7, 0.8)
    assert (ade.uncertain_pixels, ade.resize) == ("winner", "masks")
    coco = actual["coco_panoptic", "panoptic"].preprocessing(network(maskformer=True))
    assert coco == PreprocessingConfig(size_divisor=1)
    stuff = actual["coco_stuff", "semantic"]
    assert stuff.preprocessing(network(maskformer=True)).longest_edge == 2560
    assert stuff.postprocessing(network(maskformer=True)).resize == "scores"


@pytest.mark.parametrize(("classes", "labels"), [(133, "coco_panoptic"), (150, "ade20k"), (7, "")])
def test_per_pixel_networks_support_only_semantic_segmentation(classes, labels):
    config = per_pixel_resnet50(classes)
    actual, _ = find_publication_by_size(config, Path("/x/a.pkl"))
    assert (actual.labels, actual.task, actual.tasks) == (labels, "semantic", ("semantic",))
    assert actual.preprocessing(config).size_divisor == 4  # scores are upsampled by four
    assert actual.postprocessing(config).resize == "masks"  # the masks are scores already
    if labels:
        names = known_labels(labels).names
        assert find_publication_by_names(config, names, Path("/x")).tasks == ("semantic",)


@pytest.mark.parametrize(
    "names", [known_labels("coco_detr").names, [f"LABEL_{index}" for index in range(250)]]
)
def test_only_detrs_have_coco_ids_as_outputs(names):
    (publication,) = DETRS
    config, path = detr_resnet50(), Path("/x/checkpoint.pth")
    assert find_publication_by_names(config, names, path) is publication
    assert find_publication_by_names(network(250), names, path) is UNPUBLISHED
    assert find_publication_by_size(network(250), path)[0] is UNPUBLISHED
    actual, assumed = find_publication_by_size(config, path)
    assert actual is publication and "taken as coco_detr, panoptic" in assumed
    own = [f"cell {index}" for index in range(250)]
    assert find_publication_by_names(config, own, path) is UNPUBLISHED
    rules = publication.postprocessing(config)
    assert (rules.object_threshold, rules.uncertain_pixels) == (0.85, "logits")
    assert publication.preprocessing(config) == PreprocessingConfig(size_divisor=1)


def test_unpublished_label_sets_use_settings_of_other_families():
    actual = find_publication_by_names(network(171), known_labels("coco_stuff").names, Path("/x"))
    assert actual.labels == "coco_stuff" and actual.size == (640, 2560) and actual in MASKFORMERS
    config = network(100, 150, task=True)
    names = known_labels("ade20k_instance").names
    assert find_publication_by_names(config, names, Path("/x")) is UNPUBLISHED
