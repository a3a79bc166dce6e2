"""Groups of images: recognition by name, and validation splits of whole groups."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unimask.datasets import describe, open_dataset
from unimask.datasets.groups import (
    choose_validation_groups,
    find_groups,
    find_shared_groups,
    split_counters,
)

PLAIN = [f"{index:03}" for index in range(20)]


def paths(names):
    return [Path(f"/data/images/{name}.png") for name in names]


def numbered_names(*starts, count=5, first=0, step=1, width=4):
    return [f"{start}{first + step * i:0{width}}" for start in starts for i in range(count)]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (numbered_names("seq1_", "seq2_", "seq3_"), ["seq1", "seq2", "seq3"]),
        (numbered_names("c1_slice_", "c2_slice_", "c7_slice_"), ["c1", "c2", "c7"]),
        (numbered_names("patient012_", "patient3_", "p20_"), ["patient012", "patient3", "p20"]),
        ([f"s{s}_r0{r}_c0{c}" for s in "123" for r in "01" for c in "01"], ["s1", "s2", "s3"]),
        ([f"s{s}_{x}_{y}" for s in "abc" for x in (0, 512) for y in (0, 512)], ["sa", "sb", "sc"]),
        (numbered_names("a/", "b/", "c/"), ["a", "b", "c"]),
        (
            numbered_names("0001TP_", "Seq05VD_f", "0016E5_", step=30),
            ["0001TP", "Seq05VD", "0016E5"],
        ),
        ([f"{name}_jpg.rf.{copy}" for name in "abcd" for copy in "0123"], list("abcd")),
        (numbered_names("a_img", "b_img", "c_img"), ["a", "b", "c"]),
        ([f"p_{p}_{z}" for p in (11, 12, 13) for z in range(4)], ["p_11", "p_12", "p_13"]),
        ([f"v{v}_000{i}_leftImg8bit" for v in "123" for i in range(3)], ["v1", "v2", "v3"]),
        ([f"p_{p}/{kind}" for p in "123" for kind in ("ct", "pet")], ["p_1", "p_2", "p_3"]),
    ],
)
def test_names_show_which_images_belong_together(names, groups):
    found = find_groups(paths(names))
    assert sorted(found) == sorted(groups)
    assert sorted(index for members in found.values() for index in members) == [*range(len(names))]
    for name, members in found.items():
        assert all(name in str(paths(names)[index]) for index in members)


@pytest.mark.parametrize(
    "names",
    [
        PLAIN,
        numbered_names("img_"),
        numbered_names("p"),
        ["3f2a9c41", "9bd01e77", "0c1d2e3f", "aa00bb11", "77ac01de"],
        ["cat", "dog", "house", "tree", "car"],
        [f"200{year}_{131 * i * i + 7:06}" for year in (7, 8, 9) for i in range(8)],
        numbered_names("cat_", "dog_", "bird_"),
    ],
    ids=["numbers", "one beginning", "one letter", "hashes", "words", "years", "classes"],
)
def test_names_of_single_images_are_no_groups(names):
    assert find_groups(paths(names), ("cat", "dog", "bird", "background")) == {}


def test_whole_groups_are_set_aside_near_a_fifth():
    groups = {f"g{i}": [*range(10 * i, 10 * i + 10)] for i in range(10)}
    parts = choose_validation_groups(groups)
    assert len(parts.val) == 20 and len(parts.train) == 80
    assert {index // 10 for index in parts.val}.isdisjoint({index // 10 for index in parts.train})
    assert parts == choose_validation_groups(dict(reversed(groups.items())))
    unequal = {"a": [*range(80)], "b": [*range(80, 90)], "c": [*range(90, 100)]}
    assert (
        set(choose_validation_groups(unequal).val) <= set(range(80, 100))
        and choose_validation_groups(unequal).val
    )


def write_maps(folder, names):
    rng = np.random.default_rng(0)
    for name in names:
        for kind in ("images", "masks"):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(
            folder / "images" / f"{name}.png"
        )
        Image.fromarray(np.kron(rng.integers(0, 2, (8, 8)), np.ones((2, 2))).astype(np.uint8)).save(
            folder / "masks" / f"{name}.png"
        )
    return folder


def val_names(folder, *, split="val"):
    root = folder / "images"
    return [
        str(path.relative_to(root).with_suffix("")) for path in open_dataset(folder, split).paths
    ]


@pytest.mark.parametrize("form", ["seq_{}/{:04}", "seq_{}_{:04}", "seq{}_frame{:03}"])
def test_frames_of_one_video_stay_in_one_split(tmp_path, form):
    """Elsewhere every fifth frame is for validation, between two training frames."""
    folder = write_maps(tmp_path, [form.format(s, i) for s in range(1, 6) for i in range(4)])
    validation, training = val_names(folder), val_names(folder, split="train")
    assert len(validation) == 4 and len(training) == 16
    assert {name[:5] for name in validation}.isdisjoint({name[:5] for name in training})
    assert "1 of 5 groups" in describe(open_dataset(folder, "val"))


def test_one_sequence_is_cut_once(tmp_path):
    folder = write_maps(tmp_path, [f"frame_{i}" for i in range(15)])
    assert val_names(folder) == ["frame_12", "frame_13", "frame_14"]
    assert "the last fifth of 1 sequence" in describe(open_dataset(folder, "val"))


def test_the_ends_of_two_sequences_are_set_aside(tmp_path):
    folder = write_maps(tmp_path, numbered_names("left_", "right_", count=10))
    assert val_names(folder) == ["left_0008", "left_0009", "right_0008", "right_0009"]


def test_single_images_are_split_as_before(tmp_path):
    folder = write_maps(tmp_path, PLAIN)
    assert val_names(folder) == ["004", "009", "014", "019"]
    assert "set aside" not in describe(open_dataset(folder, "val"))


def test_groups_in_both_splits_are_found():
    train, val = (
        paths(numbered_names("s1_", "s2_", "s3_")),
        paths(numbered_names("s2_", "s4_", first=5)),
    )
    assert find_shared_groups(train, val, ()) == ["s2"]
    assert find_shared_groups(paths(PLAIN[::2]), paths(PLAIN[1::2]), ()) == []
    frames = numbered_names("frame_", count=20)
    assert find_shared_groups(paths(frames[::2]), paths(frames[1::2]), ()) == ["the sequence"]
    assert find_shared_groups(paths(frames[:15]), paths(frames[15:]), ()) == []
    inner = [Path(f"/d/train/images/s{s}/{i}.png") for s in (1, 2, 3) for i in range(3)]
    outer = [Path(f"/d/val/images/s{s}/{i}.png") for s in (3, 4) for i in range(3, 6)]
    assert find_shared_groups(inner, outer, ()) == ["s3"]


def test_trailing_numbers_are_removed_from_names():
    assert split_counters("case01_slice_012") == split_counters("case01_slice_012", 1)
    assert (
        split_counters("scene_r03_c07").numbers == (7, 3)
        and split_counters("scene_r03_c07").counter == "c"
    )
    assert split_counters("9" * 5000).group == "" and split_counters(
        "x" + "_1" * 2000, 1
    ).group.endswith("_1")
