"""Tensor names in files of backbones pretrained on ImageNet.

`backbone.` is our prefix, which none of the files has. Classification heads are ignored by name.
"""

from unimask.checkpoints.keymap import Rules

BATCH_COUNTS = r".*\.num_batches_tracked"

DETECTRON2: Rules = (("backbone.**", "**"),)
"""Names in detectron2's `R-50.pkl` and `R-103.pkl`, which equal ours (R-103 has DeepLab's stem);
their classification head is under the stem.
"""

DETECTRON2_IGNORED = (r"(stem\.fc|linear)\..*", BATCH_COUNTS)

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

TORCHVISION_IGNORED = (r"fc\..*", BATCH_COUNTS)

AUTHORS: Rules = (("backbone.**", "**"),)
"""Names in the files of Swin's, ConvNeXt's and DiNAT's authors, which equal ours; Swin's attention
masks and relative position indices are computed here.
"""

AUTHORS_IGNORED = (r"(head|norm)\..*", r".*\.attn_mask", r".*\.relative_position_index")

AUTHORS_MISSING = tuple(f"backbone.norm{stage}." for stage in range(4))
"""Norms of the output features, which only segmentation models have: they start untrained."""

AUTHORS_SCALES = ("gamma1", "gamma2")
"""Layer scales of DiNAT-B's two branches, which are one tensor here."""
