"""Published configurations: architecture, data and rules under one name."""

import subprocess
import sys
from collections import Counter

import pytest

from unimask.config import PreprocessingConfig
from unimask.label_sets import NUM_CLASSES
from unimask.presets import (
    DINAT_DILATIONS,
    DINAT_DILATIONS_1280,
    DINAT_DILATIONS_CITYSCAPES,
    PRESETS,
    preset,
)
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.publication_tables import PUBLICATIONS


def test_every_configuration_has_its_own_name():
    families = Counter(c.publication.family for c in MODEL_CONFIGS.values())
    counts = {"mask2former": 47 + 12, "oneformer": 28, "maskformer": 24}
    assert families == counts | {"per-pixel": 3, "per-pixel-plus": 3, "eomt": 21, "detr": 3}
    assert sum(families.values()) == sum(len(p.backbones) for p in PUBLICATIONS)
    assert not MODEL_CONFIGS.keys() & PRESETS.keys()


@pytest.mark.parametrize("name", MODEL_CONFIGS)
def test_a_name_says_architecture_and_data(name):
    configuration = MODEL_CONFIGS[name]
    assert configuration.name == name and name.startswith(configuration.preset)
    assert configuration.publication.data in name
    labels, network = configuration.labels, configuration.network()
    assert len(labels) == network.num_classes == NUM_CLASSES[configuration.publication.labels]
    if configuration.publication.tasks == ("instance",):
        assert all(labels.is_thing)
    assert type(network.backbone) is type(preset(configuration.preset, 2).backbone)
    assert configuration.network(7).num_classes == 7


@pytest.mark.parametrize(
    ("name", "queries", "classes", "tasks", "edges", "threshold"),
    [
        ("mask2former-swin-tiny-coco-instance", 100, 80, 1, (800, 1333), 0.8),
        ("mask2former-resnet101-youtube-vis-2021-instance", 100, 40, 1, (360, 1333), 0.8),
        ("mask2former-swin-large-youtube-vis-2019-instance", 200, 40, 1, (480, 1333), 0.8),
        ("mask2former-swin-large-youtube-vis-2021-instance", 200, 40, 1, (360, 1333), 0.8),
        ("mask2former-swin-large-coco-panoptic", 200, 133, 3, (800, 1333), 0.8),
        ("mask2former-swin-large-ade20k-semantic", 100, 150, 1, (640, 2560), 0.8),
        ("mask2former-swin-tiny-ade20k-semantic", 100, 150, 1, (512, 2048), 0.8),
        ("mask2former-swin-base-IN21k-cityscapes-instance", 100, 8, 1, (1024, 2048), 0.8),
        ("mask2former-swin-large-mapillary-vistas-panoptic", 200, 65, 2, (2048, 2048), 0.0),
        ("oneformer-swin-large-ade20k-896", 250, 150, 3, (896, 3584), 0.5),
        ("oneformer-swin-tiny-ade20k", 150, 150, 3, (512, 2048), 0.5),
        ("oneformer-swin-large-coco", 150, 133, 3, (800, 1333), 0.8),
        ("eomt-dinov2-giant-coco-panoptic-1280", 200, 133, 3, (1280, 1280), 0.8),
        ("eomt-dinov3-large-ade20k-semantic-512", 100, 150, 1, (512, 512), 0.8),
        ("detr-resnet50-dc5-coco-panoptic", 100, 250, 3, (800, 1333), 0.85),
        ("maskformer-resnet101-ade20k-panoptic", 100, 150, 3, (640, 2560), 0.7),
        ("maskformer-resnet50-ade20k-full-semantic", 100, 847, 1, (512, 2048), 0.8),
        ("maskformer-resnet101-coco-stuff-10k-semantic", 100, 171, 1, (640, 2560), 0.8),
    ],
)
def test_configurations_equal_the_authors(name, queries, classes, tasks, edges, threshold):
    configuration = MODEL_CONFIGS[name]
    network, size = configuration.network(), configuration.preprocessing()
    assert network.transformer_decoder.num_queries == queries
    assert network.num_classes == classes and len(configuration.publication.tasks) == tasks
    assert (size.shortest_edge, size.longest_edge) == edges
    assert configuration.postprocessing().object_threshold == threshold


def test_networks_of_youtube_vis_segment_clips():
    clips = {name for name, c in MODEL_CONFIGS.items() if c.network().clips}
    assert len(clips) == 12 and all("youtube-vis" in name for name in clips)


def test_maskformers_have_an_encoder_where_they_are_panoptic():
    for name, configuration in MODEL_CONFIGS.items():
        if name.startswith("maskformer-resnet"):
            encoder = configuration.network().pixel_decoder.encoder
            assert (encoder is not None) == name.endswith("panoptic")
    coco = MODEL_CONFIGS["maskformer-swin-tiny-coco-panoptic"]
    assert coco.preprocessing() == PreprocessingConfig(size_divisor=1)
    assert coco.postprocessing().uncertain_pixels == "winner"


@pytest.mark.parametrize(
    ("data", "kernel", "dilations"),
    [
        ("ade20k", 11, DINAT_DILATIONS),
        ("ade20k-896", 11, DINAT_DILATIONS),
        ("ade20k-1280", 11, DINAT_DILATIONS_1280),
        ("ade20k-1280-coco-pretrained", 11, DINAT_DILATIONS_1280),
        ("mapillary-vistas", 11, DINAT_DILATIONS),
        ("coco", 11, DINAT_DILATIONS),
        ("cityscapes", 7, DINAT_DILATIONS_CITYSCAPES),
    ],
)
def test_dinats_have_the_dilations_of_their_training(data, kernel, dilations):
    backbone = MODEL_CONFIGS[f"oneformer-dinat-large-{data}"].network().backbone
    assert (backbone.kernel_size, backbone.dilations) == (kernel, dilations)


def test_configurations_need_no_torch():
    code = "import sys, unimask.published.model_configs; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "False", printed.stderr
