"""Where files of backbones trained on ImageNet keep each tensor.

`backbone.` is our prefix; none of them has one. Class heads are left out by name.
"""

from unimask.checkpoints.keymap import Rules

STATISTICS_COUNT = r".*\.num_batches_tracked"

DETECTRON2: Rules = (("backbone.**", "**"),)
"""detectron2's `R-50.pkl` and `R-103.pkl` (its names are ours; R-103 has DeepLab's stem); the class
head lands under the stem there."""

DETECTRON2_IGNORED = (r"(stem\.fc|linear)\..*", STATISTICS_COUNT)

TORCHVISION: Rules = (
    ("backbone.stem.conv1.norm.**", "bn1.**"),
    ("backbone.stem.conv1.weight", "conv1.weight"),
    *(
        rule
        for stage in range(1, 5)
        for rule in (
            (
                f"backbone.res{stage + 1}.*.shortcut.norm.**",
                f"layer{stage}.*.downsample.1.**",
            ),
            (
                f"backbone.res{stage + 1}.*.shortcut.weight",
                f"layer{stage}.*.downsample.0.weight",
            ),
            *(
                pair
                for conv in range(1, 4)
                for pair in (
                    (
                        f"backbone.res{stage + 1}.*.conv{conv}.norm.**",
                        f"layer{stage}.*.bn{conv}.**",
                    ),
                    (
                        f"backbone.res{stage + 1}.*.conv{conv}.weight",
                        f"layer{stage}.*.conv{conv}.weight",
                    ),
                )
            ),
        )
    ),
)

TORCHVISION_IGNORED = (r"fc\..*", STATISTICS_COUNT)

AUTHORS: Rules = (("backbone.**", "**"),)
"""The files of Swin's, ConvNeXt's and DiNAT's authors, whose names are ours; Swin's masks of
windows and numbers of positions are computed here."""

AUTHORS_IGNORED = (r"(head|norm)\..*", r".*\.attn_mask", r".*\.relative_position_index")

AUTHORS_ADDED = tuple(f"backbone.norm{stage}." for stage in range(4))
"""Norms of the output maps, which only segmentation models have: they start untrained."""

AUTHORS_SCALES = ("gamma1", "gamma2")
"""The scales of DiNAT-B's two branches, which are one tensor here."""
