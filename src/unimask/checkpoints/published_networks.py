"""What the authors' networks were trained for, and how the authors test them, as tables.

From the configurations of Mask2Former (`configs/**/Base-*.yaml` and below, commit 9b0651c),
MaskFormer (da3e60d) and OneFormer. Their files carry none of this.
"""

from dataclasses import replace

from unimask.checkpoints.publication import ALL, Publication, words

COCO, CITYSCAPES = words("coco"), words("cityscapes")
ADE, MAPILLARY = words("ade ade20k"), words("mapillary vistas")

COCO_STUFF = Publication(
    labels="coco_stuff", dataset=COCO, task="semantic", tasks=("semantic",), size=(640, 2560),
)  # fmt: skip
ADE20K_FULL = Publication(
    labels="ade20k_full", dataset=ADE, task="semantic", tasks=("semantic",), size=(512, 2048),
)  # fmt: skip

MASK2FORMERS = (
    Publication(
        labels="coco_panoptic", dataset=COCO, task="panoptic", tasks=ALL, size=(800, 1333),
        files=words("94dc52 b807bd 9fd0ae a407fd 9d7f02 54b88a f07440"),
    ),
    Publication(
        labels="coco_instance", dataset=COCO, task="instance", tasks=("instance",),
        size=(800, 1333), files=words("3c8ec9 eba159 86143f 1e7f22 f6e0f6 83d103 e5f453"),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="semantic", tasks=("semantic",),
        size=(512, 2048), size_wide=(640, 2560),
        files=words("500878 0d68be 5274a6 011c6d 503e96 7e47bf 6b4a3a"),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="panoptic", tasks=ALL, size=(640, 2560),
        files=words("5c90d4 e0c58e"),
    ),
    Publication(
        labels="ade20k_instance", dataset=ADE, task="instance", tasks=("instance",),
        size=(640, 2560), files=words("67e945 92dae9"),
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="semantic", tasks=("semantic",),
        size=(1024, 2048), files=words("cc1b1f 257ce8 2d58d4 fa26ae 1c6b65 17c1ee"),
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="panoptic", tasks=ALL, size=(1024, 2048),
        files=words("4ab90c 04d286 ceba0f 23efb7 fa840f 064788"),
    ),
    Publication(
        labels="cityscapes_instance", dataset=CITYSCAPES, task="instance", tasks=("instance",),
        size=(1024, 2048), files=words("01a8ed c2b8c8 6a63f8 974824 7a3b6d dfa862"),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="semantic", tasks=("semantic",),
        size=(2048, 2048), files=words("6c66d0 90ee2d"),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="panoptic",
        tasks=("panoptic", "semantic"), size=(2048, 2048), object_threshold=0.0,
        files=words("4e9874 132c71"),
    ),
    COCO_STUFF,
    ADE20K_FULL,
)  # fmt: skip
"""Mask2Former's, and the two sets that only MaskFormer was trained for."""

MASKFORMERS = (
    Publication(
        labels="coco_panoptic", dataset=COCO, task="panoptic", tasks=ALL, size=(800, 1333),
        size_divisor=1, files=words("6f60dc 57b049 539394 5bf6b1 4b7f49 7505c4"),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="semantic", tasks=("semantic",),
        size=(512, 2048), size_wide=(640, 2560),
        files=words("1043f3 833630 d8dbeb 1aeb94 b432ea 8657a5 528157 45388b aefa3b"),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="panoptic", tasks=ALL, size=(640, 2560),
        object_threshold=0.7, files=words("7aa977 0b3cc8"),
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="semantic", tasks=("semantic",),
        size=(1024, 2048), files=words("38c00c 4f8ff9"),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="semantic", tasks=("semantic",),
        size=(2048, 2048), files=words("f3fc73"),
    ),
    replace(COCO_STUFF, files=words("275ab0 1fa920 cb03eb eb19bb bffd25")),
    replace(ADE20K_FULL, files=words("9f66a9 4d31f2 f4e3f6 88df33 75d34e")),
)  # fmt: skip
"""MaskFormer's and its baselines'; those of COCO do not fill pictures up (`SIZE_DIVISIBILITY`)."""

NOBODYS = Publication(
    labels="", dataset=frozenset(), task="panoptic", tasks=ALL, size=(800, 1333)
)  # fmt: skip
"""Networks that are not published: as most of the family, panoptic at COCO's size."""

ONEFORMERS = (
    Publication(
        labels="coco_panoptic", dataset=COCO, task="panoptic", tasks=ALL, size=(800, 1333),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="panoptic", tasks=ALL,
        size=(512, 2048), size_wide=(640, 2560), object_threshold=0.5,
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="panoptic", tasks=ALL, size=(1024, 2048),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="panoptic", tasks=ALL,
        size=(2048, 2048),
    ),
)  # fmt: skip
"""OneFormer's, one for each dataset: each network does all tasks (`OneFormer/configs`)."""

LARGER = {"896x896": (896, 3584), "1280x1280": (1280, 5120)}
"""Test sizes of OneFormers that were trained on larger squares, by a word of their names."""

VIDEOS = words(
    "34112b a34dca 26fffe 4a5174 221a8a c5c739 b8aae2 6efd7a 965185 0dec91 a9b925 4da256"
)
"""Files of Mask2Formers that segment video. Their names and shapes are those of pictures' networks,
but their positions count frames as well (`mask2former_video`)."""
