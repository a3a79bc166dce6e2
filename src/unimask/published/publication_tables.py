"""Tables of publications: datasets and tasks, backbones, test settings and files.

Source: the configurations `configs/**/*.yaml` of Mask2Former (commit 9b0651c), OneFormer (4962ef6),
MaskFormer (da3e60d) and EoMT (7bd19dd). The authors' weight files contain none of this.
"""

from dataclasses import replace

from unimask.published.publication import ALL_TASKS, Family, Publication, split_words

RESNETS = ("resnet50", "resnet101")
DEEPLAB_RESNETS = (*RESNETS, "resnet101c")
SMALL_BACKBONES = (*RESNETS, "swin-tiny", "swin-small")
CITYSCAPES_BACKBONES = (*SMALL_BACKBONES, "swin-base-IN21k", "swin-large")
ALL_BACKBONES = (*SMALL_BACKBONES, "swin-base", "swin-base-IN21k", "swin-large")
SMALLEST_AND_LARGEST = ("resnet50", "swin-large")
CONVNEXTS = ("convnext-large", "convnext-xlarge")

MASK2FORMERS = (
    Publication(
        family="mask2former", data="coco", task="panoptic", labels="coco_panoptic",
        backbones=ALL_BACKBONES, tasks=ALL_TASKS, size=(800, 1333),
        files=split_words("94dc52 b807bd 9fd0ae a407fd 9d7f02 54b88a f07440"),
    ),
    Publication(
        family="mask2former", data="coco", task="instance", labels="coco_instance",
        backbones=ALL_BACKBONES, tasks=("instance",), size=(800, 1333),
        files=split_words("3c8ec9 eba159 86143f 1e7f22 f6e0f6 83d103 e5f453"),
    ),
    Publication(
        family="mask2former", data="ade20k", task="semantic", labels="ade20k",
        backbones=ALL_BACKBONES, queries=100, tasks=("semantic",),
        size=(512, 2048), size_wide=(640, 2560),
        files=split_words("500878 0d68be 5274a6 011c6d 503e96 7e47bf 6b4a3a"),
    ),
    Publication(
        family="mask2former", data="ade20k", task="panoptic", labels="ade20k",
        backbones=SMALLEST_AND_LARGEST, tasks=ALL_TASKS, size=(640, 2560),
        files=split_words("5c90d4 e0c58e"),
    ),
    Publication(
        family="mask2former", data="ade20k", task="instance", labels="ade20k_instance",
        backbones=SMALLEST_AND_LARGEST, tasks=("instance",), size=(640, 2560),
        files=split_words("67e945 92dae9"),
    ),
    Publication(
        family="mask2former", data="cityscapes", task="semantic", labels="cityscapes",
        backbones=CITYSCAPES_BACKBONES, queries=100, tasks=("semantic",), size=(1024, 2048),
        files=split_words("cc1b1f 257ce8 2d58d4 fa26ae 1c6b65 17c1ee"),
    ),
    Publication(
        family="mask2former", data="cityscapes", task="panoptic", labels="cityscapes",
        backbones=CITYSCAPES_BACKBONES, tasks=ALL_TASKS, size=(1024, 2048),
        files=split_words("4ab90c 04d286 ceba0f 23efb7 fa840f 064788"),
    ),
    Publication(
        family="mask2former", data="cityscapes", task="instance", labels="cityscapes_instance",
        backbones=CITYSCAPES_BACKBONES, tasks=("instance",), size=(1024, 2048),
        files=split_words("01a8ed c2b8c8 6a63f8 974824 7a3b6d dfa862"),
    ),
    Publication(
        family="mask2former", data="mapillary-vistas", task="semantic", labels="mapillary_vistas",
        backbones=SMALLEST_AND_LARGEST, queries=100, tasks=("semantic",), size=(2048, 2048),
        files=split_words("6c66d0 90ee2d"),
    ),
    Publication(
        family="mask2former", data="mapillary-vistas", task="panoptic", labels="mapillary_vistas",
        backbones=SMALLEST_AND_LARGEST, tasks=("panoptic", "semantic"), size=(2048, 2048),
        object_threshold=0.0, files=split_words("4e9874 132c71"),
    ),
)  # fmt: skip

ONEFORMER_COCO = Publication(
    family="oneformer", data="coco", task="all", labels="coco_panoptic",
    backbones=("resnet50", "swin-tiny", "swin-large", "dinat-large"), queries=150,
    tasks=ALL_TASKS, size=(800, 1333),
)  # fmt: skip
ONEFORMER_ADE20K = Publication(
    family="oneformer", data="ade20k", task="all", labels="ade20k",
    backbones=("resnet50", "swin-tiny", "swin-large", *CONVNEXTS, "dinat-large"),
    tasks=ALL_TASKS, size=(512, 2048), size_wide=(640, 2560), object_threshold=0.5,
)  # fmt: skip
ONEFORMER_896 = replace(
    ONEFORMER_ADE20K, backbones=("swin-large", "dinat-large"), edge=896,
    size=(896, 3584), size_wide=None,
)  # fmt: skip
ONEFORMER_1280 = replace(ONEFORMER_896, edge=1280, size=(1280, 5120))
ONEFORMER_CITYSCAPES = Publication(
    family="oneformer", data="cityscapes", task="all", labels="cityscapes",
    backbones=("resnet50", "swin-large", *CONVNEXTS, "dinat-large"),
    tasks=ALL_TASKS, size=(1024, 2048),
)  # fmt: skip
ONEFORMER_MAPILLARY = Publication(
    family="oneformer", data="mapillary-vistas", task="all", labels="mapillary_vistas",
    backbones=("resnet50", "swin-large", "convnext-large", "dinat-large"),
    tasks=ALL_TASKS, size=(2048, 2048),
)  # fmt: skip
ONEFORMERS = (
    ONEFORMER_COCO,
    ONEFORMER_ADE20K,
    ONEFORMER_896,
    ONEFORMER_1280,
    replace(ONEFORMER_1280, backbones=("dinat-large",), queries=150, pretrained_on="coco"),
    ONEFORMER_CITYSCAPES,
    replace(ONEFORMER_CITYSCAPES, backbones=CONVNEXTS, pretrained_on="mapillary-vistas"),
    ONEFORMER_MAPILLARY,
    replace(ONEFORMER_MAPILLARY, backbones=CONVNEXTS, pretrained_on="cityscapes"),
)
"""Each network supports all tasks; pretraining on another dataset does not change the test
settings.
"""

MASKFORMERS = (
    Publication(
        family="maskformer", data="coco", task="panoptic", labels="coco_panoptic",
        backbones=(*SMALL_BACKBONES, "swin-base", "swin-large"), encoder=True, tasks=ALL_TASKS,
        size=(800, 1333), size_divisor=1,
        files=split_words("6f60dc 57b049 539394 5bf6b1 4b7f49 7505c4"),
    ),
    Publication(
        family="maskformer", data="ade20k", task="semantic", labels="ade20k",
        backbones=(*DEEPLAB_RESNETS, "swin-tiny", "swin-small", "swin-base", "swin-large"),
        tasks=("semantic",),
        size=(512, 2048), size_wide=(640, 2560),
        files=split_words("d8dbeb 1aeb94 b432ea 8657a5 528157 45388b aefa3b"),
    ),
    Publication(
        family="maskformer", data="ade20k", task="panoptic", labels="ade20k",
        backbones=RESNETS, encoder=True, tasks=ALL_TASKS, size=(640, 2560), object_threshold=0.7,
        files=split_words("7aa977 0b3cc8"),
    ),
    Publication(
        family="maskformer", data="ade20k-full", task="semantic", labels="ade20k_full",
        backbones=DEEPLAB_RESNETS, tasks=("semantic",), size=(512, 2048),
        files=split_words("f4e3f6 88df33 75d34e"),
    ),
    Publication(
        family="maskformer", data="cityscapes", task="semantic", labels="cityscapes",
        backbones=DEEPLAB_RESNETS[1:], tasks=("semantic",), size=(1024, 2048),
        files=split_words("38c00c 4f8ff9"),
    ),
    Publication(
        family="maskformer", data="coco-stuff-10k", task="semantic", labels="coco_stuff",
        backbones=DEEPLAB_RESNETS, tasks=("semantic",), size=(640, 2560),
        files=split_words("cb03eb eb19bb bffd25"),
    ),
    Publication(
        family="maskformer", data="mapillary-vistas", task="semantic", labels="mapillary_vistas",
        backbones=("resnet50",), tasks=("semantic",), size=(2048, 2048),
        files=split_words("f3fc73"),
    ),
)  # fmt: skip

BASELINE_FILES: dict[Family, dict[str, str]] = {
    "per-pixel": {"ade20k": "1043f3", "ade20k_full": "9f66a9", "coco_stuff": "275ab0"},
    "per-pixel-plus": {"ade20k": "833630", "ade20k_full": "4d31f2", "coco_stuff": "1fa920"},
}
"""File hashes of MaskFormer's baselines, by family and label set."""

BASELINES = tuple(
    replace(p, family=family, backbones=("resnet50",), files=split_words(files[p.labels]))
    for family, files in BASELINE_FILES.items()
    for p in MASKFORMERS
    if p.task == "semantic" and p.labels in files
)

CLIPS_2019 = Publication(
    family="mask2former", data="youtube-vis-2019", task="instance", labels="youtube_vis_2019",
    backbones=(*SMALL_BACKBONES, "swin-base", "swin-large"), tasks=("instance",),
    size=(360, 1333), swin_edges=((96, 480), (128, 480), (192, 480)), clips=True,
    files=split_words("34112b a34dca 26fffe 4a5174 221a8a c5c739"),
)  # fmt: skip
CLIPS_2021 = replace(
    CLIPS_2019, data="youtube-vis-2021", labels="youtube_vis_2021",
    swin_edges=((96, 480), (128, 480)),
    files=split_words("b8aae2 6efd7a 965185 0dec91 a9b925 4da256"),
)  # fmt: skip
CLIPS = (CLIPS_2019, CLIPS_2021)
"""Mask2Formers for video. Names and shapes of their tensors equal those of networks for images, but
their position encodings include time (`mask2former_video`).
"""

EOMT_COCO = Publication(
    family="eomt", data="coco", task="panoptic", labels="coco_panoptic",
    backbones=(
        "dinov2-small", "dinov2-base", "dinov2-large", "dinov2-giant",
        "dinov3-small", "dinov3-base", "dinov3-large",
    ),
    tasks=ALL_TASKS, size=(640, 640), edge=640,
)  # fmt: skip
EOMT_COCO_1280 = replace(
    EOMT_COCO, backbones=("dinov2-large", "dinov2-giant", "dinov3-large"), size=(1280, 1280),
    edge=1280,
)  # fmt: skip
EOMT_COCO_INSTANCE = replace(
    EOMT_COCO, task="instance", labels="coco_instance",
    backbones=("dinov2-large", "dinov3-large"), tasks=("instance",),
)  # fmt: skip
EOMT_ADE20K = replace(
    EOMT_COCO, data="ade20k", labels="ade20k", backbones=("dinov2-large", "dinov2-giant"),
    pretrained_on="coco",
)  # fmt: skip
EOMTS = (
    EOMT_COCO,
    EOMT_COCO_1280,
    EOMT_COCO_INSTANCE,
    replace(EOMT_COCO_INSTANCE, size=(1280, 1280), edge=1280),
    EOMT_ADE20K,
    replace(EOMT_ADE20K, size=(1280, 1280), edge=1280),
    replace(
        EOMT_COCO, data="ade20k", task="semantic", labels="ade20k",
        backbones=("dinov2-large", "dinov3-large"), tasks=("semantic",), size=(512, 512),
        edge=512, queries=100,
    ),
    replace(
        EOMT_COCO, data="cityscapes", task="semantic", labels="cityscapes",
        backbones=("dinov2-large",), tasks=("semantic",), size=(1024, 1024), edge=1024,
        queries=100,
    ),
)  # fmt: skip
"""EoMT (commit 7bd19dd), `configs/dinov*/**/*.yaml`: images are squares of the size in the name."""

DETRS = (
    Publication(
        family="detr", data="coco", task="panoptic", labels="coco_detr",
        backbones=("resnet50", "resnet50-dc5", "resnet101"), tasks=ALL_TASKS, size=(800, 1333),
        size_divisor=1, files=split_words("00ce5173 da08f1b1 40021d53"),
    ),
)  # fmt: skip
"""DETR (commit 29901c5): `README.md` and `make_coco_transforms`."""

PUBLICATIONS = MASK2FORMERS + CLIPS + ONEFORMERS + MASKFORMERS + BASELINES + EOMTS + DETRS

UNPUBLISHED = Publication(
    family="mask2former", data="", task="panoptic", labels="", backbones=(), tasks=ALL_TASKS,
    size=(800, 1333),
)  # fmt: skip
"""Settings of unpublished networks: panoptic at COCO's size, as most of the family."""

UNPUBLISHED_CLIPS = replace(CLIPS_2019, data="", labels="", backbones=(), files=frozenset())
"""Settings of unpublished networks for video."""
