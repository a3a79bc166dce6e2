"""Runs of `unimask batch`: their results, resuming, shards, errors, and reading them."""

import json
import shutil
import tarfile

import numpy as np
import pytest
from batch_runs import NUM_IMAGES, read_parts, run_batch
from conftest import TINY_SWIN, tiny_checkpoint
from PIL import Image

import unimask
from unimask.batch import Shard, read_batch
from unimask.checkpoints import write_huggingface
from unimask.errors import DataError, ImageError, OutputError, SettingsError
from unimask.version import __version__

parquet = pytest.importorskip("pyarrow.parquet")


def test_results_equal_those_of_predict(images, finished, model):
    predictor = unimask.load(model, device="cpu")
    results = list(read_batch(finished))
    assert [result.path for result in results] == sorted(images.rglob("*.png"))
    for result in results:
        expected = predictor.predict(result.path, task="instance", threshold=0.1)
        assert result.segments and result.labels == expected.labels
        for ours, theirs in zip(result.segments, expected.segments, strict=True):
            assert vars(ours) == {**vars(theirs), "queries": ()}  # files do not hold them
    row = parquet.read_table(finished / "part-00000-of-00004.parquet").to_pylist()[0]
    assert (row["width"], row["height"], row["version"]) == (64, 48, __version__)


def test_readers_of_parquet_folders_see_only_the_rows(finished):
    assert parquet.read_table(finished).num_rows == NUM_IMAGES


def test_a_rerun_computes_only_what_is_missing(images, finished, model, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "part-00002-of-00004.parquet").unlink()
    with pytest.raises(DataError, match="lacks 1 of 4 parts"):
        read_batch(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert run_batch(images, out, model) == [2]
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert read_parts(out) == read_parts(finished)
    assert run_batch(images, out, model) == []


def test_shards_together_equal_one_run(images, finished, model, tmp_path):
    assert run_batch(images, tmp_path / "out", model, shard=Shard(1, 3)) == [0, 3]
    assert run_batch(images, tmp_path / "out", model, shard=Shard(2, 3)) == [1]
    assert run_batch(images, tmp_path / "out", model, shard=Shard(3, 3)) == [2]
    assert read_parts(tmp_path / "out") == read_parts(finished)


def test_other_settings_images_or_weights_are_refused(images, finished, model, tmp_path):
    folder, out = tmp_path / "images", tmp_path / "out"
    with pytest.raises(SettingsError, match=r"begun with --threshold 0\.1, --rows-per-part 2: "):
        run_batch(images, finished, model, threshold=0.2, rows_per_part=3)
    shutil.copytree(images, folder)
    copied = tmp_path / "model"
    shutil.copytree(model, copied)
    run_batch(folder, out, copied)
    write_huggingface(copied, tiny_checkpoint(TINY_SWIN, seed=1))
    with pytest.raises(SettingsError, match="other weights"):
        run_batch(folder, out, copied)
    shutil.copy(folder / "a" / "0.png", folder / "a" / "new.png")
    with pytest.raises(SettingsError, match=r"the images of .* are not those"):
        run_batch(folder, out, copied)
    with pytest.raises(OutputError, match="holds no batch run"):
        run_batch(folder, images, copied)


def test_unusable_images_are_rows_and_can_be_retried(images, finished, model, tmp_path):
    folder, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(images, folder)
    (folder / "a" / "2.png").write_bytes((images / "a" / "2.png").read_bytes()[:200])
    Image.new("RGB", (100, 100)).save(folder / "b" / "1.png")
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))]
    (folder / "list.csv").write_text("path\n" + "\n".join([*names, "lost.png", '""']) + "\n")
    run_batch(folder / "list.csv", out, model, max_pixels=9999)
    outcomes = list(read_batch(out, on_error="yield"))
    errors = {i: str(o) for i, o in enumerate(outcomes) if isinstance(o, ImageError)}
    assert list(errors) == [1, 4, 7, 8]
    for error, part in zip(errors.values(), ("damaged", "9,999", "exist", "path"), strict=True):
        assert part in error
    assert len(list(read_batch(out, on_error="skip"))) == len(names) - 2
    with pytest.raises(ImageError, match="damaged"):
        list(read_batch(out))
    for name in ("a/2.png", "b/1.png"):
        shutil.copy(images / name, folder / name)
    assert run_batch(folder / "list.csv", out, model, max_pixels=9999) == []
    options = {"max_pixels": 9999, "retry_errors": True}
    assert run_batch(folder / "list.csv", out, model, **options) == [0, 2, 3, 4]
    rows = parquet.read_table(out).drop_columns(["path"]).slice(0, NUM_IMAGES)
    assert rows.equals(parquet.read_table(finished).drop_columns(["path"]))


def test_members_of_archives_give_the_same_rows(images, finished, model, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for path in sorted(images.rglob("*.png")):
            tar.add(path, path.relative_to(images))
    run_batch(tmp_path / "x.tar", tmp_path / "out", model)
    ours, theirs = (parquet.read_table(folder) for folder in (tmp_path / "out", finished))
    assert ours.drop_columns(["path"]).equals(theirs.drop_columns(["path"]))
    assert next(read_batch(tmp_path / "out")).path == tmp_path / "x.tar" / "a" / "0.png"


def test_conversion_to_other_formats(command, images, finished, tmp_path):
    for to in ("coco", "coco-panoptic", "instance-ids"):
        code, printed, err = command("convert", finished, tmp_path / to, "--to", to, "--no-images")
        assert code == 0 and err == "" and f"{NUM_IMAGES} images" in printed
    content = json.loads((tmp_path / "coco" / "annotations" / "instances_all.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [
        path.relative_to(images).as_posix() for path in sorted(images.rglob("*.png"))
    ]
    results = list(read_batch(finished))
    assert len(content["annotations"]) == sum(map(len, results))
    assert content["annotations"][0]["segmentation"] == results[0].segments[0].rle.to_coco()
    with Image.open(tmp_path / "instance-ids" / "all" / "masks" / "a" / "0.png") as mask:
        assert ((np.asarray(mask) > 0) == (results[0].segmentation > 0)).all()
    assert (tmp_path / "coco-panoptic/annotations/panoptic_all/a/0.png").is_file()
    code, _, _ = command("convert", finished, tmp_path / "copied", "--to", "coco")
    assert code == 0 and len(list((tmp_path / "copied" / "all").iterdir())) == NUM_IMAGES


def test_damaged_output_is_named(finished, tmp_path):
    with pytest.raises(DataError, match=r"no output of unimask batch"):
        read_batch(tmp_path)
    shutil.copytree(finished, tmp_path / "out")
    part = tmp_path / "out" / "part-00001-of-00004.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"part-00001-of-00004\.parquet is no Parquet file"):
        list(read_batch(tmp_path / "out"))
    (tmp_path / "out" / "_batch.json").write_text("{}")
    with pytest.raises(DataError, match=r"_batch\.json is damaged"):
        read_batch(tmp_path / "out")
