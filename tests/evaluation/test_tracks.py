"""Scores of tracks, against TrackEval's own readers and metrics, and values computed by hand."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_CLIPS, tiny_checkpoint, with_description
from PIL import Image
from tool_exports import write_youtube_vis, youtube_vis_content

import unimask
from unimask.checkpoints import write_huggingface
from unimask.datasets import open_dataset
from unimask.datasets.videos import find_videos
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation import evaluate_tracks
from unimask.evaluation.track_scorers import TubeScorer
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.labels import LabelSet
from unimask.results import Result, Segment
from unimask.video import TrackedFrame
from unimask.video.outputs import write_tracks

SIZE = (48, 64)
SEQUENCES = ("0000", "0002", "0006")
needs_trackeval = pytest.mark.skipif(
    importlib.util.find_spec("trackeval") is None, reason="needs trackeval"
)


def draw_map(positions: dict[int, np.ndarray]) -> np.ndarray:
    """Draw an id map of discs."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    ids = np.zeros(SIZE, np.int64)
    for id, (row, column) in positions.items():
        ids[(rows - row) ** 2 + (columns - column) ** 2 < 30] = id
    return ids


def move_discs(random: np.random.Generator, count: int = 8, length: int = 9):
    """Yield the true and the predicted id map of each frame: 1000 times the class plus a number.

    Predictions are moved, miss objects, swap ids and add objects; class 10 is ignored.
    """
    places = random.uniform((0, 0), SIZE, (count, 2))
    speeds = random.uniform(-3, 3, (count, 2))
    names = [1000 * (1 + number % 2) + number for number in range(count)]
    aliases = dict(zip(names, names, strict=True))
    for frame in range(length):
        if random.random() < 0.4:
            first, second = random.choice(count // 2, 2, replace=False) * 2
            first, second = names[first], names[second]
            aliases[first], aliases[second] = aliases[second], aliases[first]
        now = places + frame * speeds
        true = draw_map(dict(zip(names, now, strict=True)))
        true[:12, :20][true[:12, :20] == 0] = 10000
        guesses = {
            aliases[name]: place + random.normal(0, 1.2, 2)
            for name, place in zip(names, now, strict=True)
            if random.random() < 0.85
        }
        guesses[1050] = random.uniform((0, 0), (12, 20))
        guesses[2050 + frame] = random.uniform((0, 0), SIZE)
        yield true, draw_map(guesses)


def mots_lines(frame: int, ids: np.ndarray) -> str:
    return "".join(
        f"{frame} {id} {id // 1000} {SIZE[0]} {SIZE[1]} {rle.to_coco()['counts']}\n"
        for id, rle in encode_id_map(ids).items()
    )


def write_mots(folder: Path, seed: int) -> tuple[Path, Path]:
    """Write three sequences of KITTI MOTS as text, and results."""
    random = np.random.default_rng(seed)
    data, results = folder / "mots", folder / "trackers" / "ours" / "data"
    (data / "instances_txt").mkdir(parents=True)
    results.mkdir(parents=True)
    for sequence in SEQUENCES:
        images = data / "training" / "image_02" / sequence
        images.mkdir(parents=True)
        texts = ["", ""]
        for frame, pair in enumerate(move_discs(random)):
            Image.new("RGB", SIZE[::-1]).save(images / f"{frame:06}.png")
            texts = [text + mots_lines(frame, ids) for text, ids in zip(texts, pair, strict=True)]
        (data / "instances_txt" / f"{sequence}.txt").write_text(texts[0])
        (results / f"{sequence}.txt").write_text(texts[1])
    return data, results


@pytest.mark.extra
@needs_trackeval
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_hota_idf1_and_mota_equal_those_of_trackeval(tmp_path, seed):
    from trackeval.datasets import KittiMOTS
    from trackeval.metrics import CLEAR, HOTA, Identity

    data, results = write_mots(tmp_path, seed)
    report = evaluate_tracks(data, results=results, split="val")
    assert (report["videos"], report["images"]) == (2, 18)
    quiet = {"PRINT_CONFIG": False}
    reference = KittiMOTS(
        quiet
        | {
            "GT_FOLDER": str(data),
            "GT_LOC_FORMAT": "{gt_folder}/instances_txt/{seq}.txt",
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SEQ_INFO": dict.fromkeys(SEQUENCES[1:], 9),
        }
    )
    metrics = {"HOTA": HOTA(), "IDF1": Identity(quiet), "MOTA": CLEAR(quiet), "IDSW": CLEAR(quiet)}
    totals = dict.fromkeys(metrics, 0.0)
    for name in ("car", "pedestrian"):
        ours = report["per_class"][name]
        for key, metric in metrics.items():
            scores = {
                sequence: metric.eval_sequence(
                    reference.get_preprocessed_seq_data(
                        reference.get_raw_seq_data("ours", sequence), name
                    )
                )
                for sequence in SEQUENCES[1:]
            }
            expected = float(np.mean(metric.combine_sequences(scores)[key]))
            scale = 1 if key == "IDSW" else 100
            assert ours[key.replace("IDSW", "switches")] == pytest.approx(scale * expected)
            totals[key] += scale * expected
    assert report["metrics"]["HOTA"] == pytest.approx(totals["HOTA"] / 2)
    assert report["metrics"]["IDF1"] == pytest.approx(totals["IDF1"] / 2)
    assert report["metrics"]["switches"] == totals["IDSW"] > 0
    assert 30 < report["metrics"]["HOTA"] < 90


def write_clips(folder: Path, seed: int, length: int = 6) -> tuple[Path, Path]:
    """Write scenes as YouTube-VIS where TrackEval expects it, and results."""
    random = np.random.default_rng(seed)
    data, results = folder / "youtube_vis_val", folder / "trackers" / "youtube_vis_val"
    (results / "ours" / "data").mkdir(parents=True)
    videos, tracks, guesses = [], [], []
    for video, name in enumerate(SEQUENCES, start=1):
        names = [f"{name}/{frame}.png" for frame in range(length)]
        fields = {"height": SIZE[0], "width": SIZE[1]}
        videos.append({"id": video, "file_names": names, **fields})
        (data / "JPEGImages" / name).mkdir(parents=True)
        rows: tuple[dict, dict] = ({}, {})
        for frame, pair in enumerate(move_discs(random, length=length)):
            Image.new("RGB", SIZE[::-1]).save(data / "JPEGImages" / names[frame])
            for masks, ids in zip(rows, pair, strict=True):
                for id, rle in encode_id_map(ids).items():
                    masks.setdefault(id, [None] * length)[frame] = rle
        for entries, masks in zip((tracks, guesses), rows, strict=True):
            for id, row in masks.items():
                entry = {"video_id": video, "category_id": id // 1000, "iscrowd": 0, **fields}
                entry |= {"id": len(entries) + 1, "score": random.random()}
                entry["areas"] = [rle and rle.area for rle in row]
                entry["segmentations"] = [
                    rle and {"size": list(SIZE), "counts": rle.counts.tolist()} for rle in row
                ]
                if id < 10000:
                    entries.append(entry)
    for entry in guesses:
        entry["segmentations"] = [
            rle and RunLength.from_coco(rle).to_coco() for rle in entry["segmentations"]
        ]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "pedestrian"}]
    content = {"videos": videos, "categories": categories, "annotations": tracks}
    (data / "instances.json").write_text(json.dumps(content))
    (results / "ours" / "data" / "results.json").write_text(json.dumps(guesses))
    return data, results / "ours" / "data" / "results.json"


@pytest.mark.extra
@needs_trackeval
@pytest.mark.filterwarnings("ignore")
def test_ap_equals_that_of_trackeval(tmp_path):
    from trackeval.datasets import YouTubeVIS
    from trackeval.metrics import TrackMAP

    data, results = write_clips(tmp_path, 1)
    report = evaluate_tracks(data, results=results, split=None)
    quiet = {"PRINT_CONFIG": False}
    folders = {"GT_FOLDER": f"{tmp_path}/", "TRACKERS_FOLDER": f"{tmp_path}/trackers/"}
    reference = YouTubeVIS(quiet | folders | {"SPLIT_TO_EVAL": "val"})
    metric = TrackMAP(quiet | {"USE_TIME_RANGES": False, "USE_AREA_RANGES": False})
    expected = []
    for name in ("car", "pedestrian"):
        scores = {
            sequence: metric.eval_sequence(
                reference.get_preprocessed_seq_data(
                    reference.get_raw_seq_data("ours", sequence), name
                )
            )
            for sequence in SEQUENCES
        }
        expected.append(metric.combine_sequences(scores))
        ours = report["per_class"][name]
        assert ours["AP"] == pytest.approx(100 * expected[-1]["AP_all"].mean())
        assert ours["AR"] == pytest.approx(100 * expected[-1]["AR_all"].mean())
    mean = np.mean([scores["AP_all"].mean() for scores in expected])
    assert report["metrics"]["AP"] == pytest.approx(100 * mean) and mean > 0.02


def test_maps_and_text_of_the_same_sequences_have_the_same_scores(tmp_path):
    data, results = write_mots(tmp_path, 5)
    text = evaluate_tracks(data, results=results, split="val")
    for sequence in SEQUENCES:
        (data / "instances" / sequence).mkdir(parents=True)
        frames = {f"{frame:06}": np.zeros(SIZE, np.uint16) for frame in range(9)}
        for line in (data / "instances_txt" / f"{sequence}.txt").read_text().splitlines():
            frame, id, _, height, width, counts = line.split()
            rle = RunLength.from_coco({"size": [int(height), int(width)], "counts": counts})
            frames[f"{int(frame):06}"][rle.to_mask()] = int(id)
        for stem, ids in frames.items():
            Image.fromarray(ids).save(data / "instances" / sequence / f"{stem}.png")
    maps = evaluate_tracks(data, results=results, split="val")
    assert maps["metrics"] == text["metrics"] and 5 < maps["metrics"]["AP"] < 90


def test_youtube_vis_results(tmp_path):
    data = write_youtube_vis(tmp_path / "data")
    entries = youtube_vis_content(2)["annotations"]
    for entry in entries:
        entry["score"] = 0.9
    file = tmp_path / "results.json"
    file.write_text(json.dumps(entries))
    report = evaluate_tracks(data, results=file)
    assert report["metrics"]["AP"] == pytest.approx(100)
    # A track of one class that is split into two tracks: each has a third and two thirds of it.
    whole = entries.pop(1)
    first, *rest = whole["segmentations"]
    parts = [[first, None, None], [None, *rest]]
    entries += [{**whole, "segmentations": part} for part in parts]
    file.write_text(json.dumps(entries))
    report = evaluate_tracks(data, results=file)
    assert report["per_class"]["cat"]["AP"] == pytest.approx(100)
    # Of two caps, one is found at all IoUs, the other up to an IoU of 2/3: 4 of 10 thresholds.
    assert report["per_class"]["cap"]["AR"] == pytest.approx(100 * (10 + 4) / 20)
    assert report["videos"] == 2 and report["images"] == 6


def test_results_of_unimask_track(tmp_path):
    data = write_youtube_vis(tmp_path / "data")
    dataset = open_dataset(data, "val")
    video = find_videos(dataset)[0]
    labels = LabelSet(("dog", "cap", "cat"), (True, True, True))

    def frames():
        for number, index in enumerate(video.frames):
            sample = dataset[index]
            segments = []
            for row in np.flatnonzero(sample.track_ids >= 0).tolist():
                label = labels.names.index(dataset.labels.names[sample.label_ids[row]])
                rle = RunLength.from_mask(sample.mask(row + 1))
                segment = Segment.from_rle(labels, label, rle, id=row + 1, score=0.8)
                object.__setattr__(segment, "track_id", int(sample.track_ids[row]))
                segments.append(segment)
            result = Result("instance", sample.size, labels, tuple(segments))
            yield TrackedFrame(number, number / 5, sample.image, result)

    formats = ("youtube-vis", "mots")
    files = write_tracks(
        frames(), tmp_path / "out", video.name, labels, formats, lambda frame: None
    )
    report = evaluate_tracks(data, results=files["youtube-vis"])
    assert report["per_class"]["cat"]["AR"] == pytest.approx(50)
    assert report["notes"][0].startswith("1 of 2 videos have no result")
    # Classes of MOTS text have numbers only: those of a model with the labels of the data.
    other = evaluate_tracks(data, results=files["mots"], categories="labels")
    assert other["per_class"]["cap"]["AR"] == pytest.approx(50)
    assert other["per_class"]["cat"]["AR"] == 0 and "class 3" in other["notes"][0]


def tube_sample(labels, tracks, ids, crowds=None):
    from unimask.datasets import Sample

    ids = np.array([ids])
    return Sample(
        np.zeros((*ids.shape, 3), np.uint8),
        ids[None],
        np.array(labels),
        np.zeros(len(labels), bool) if crowds is None else np.array(crowds),
        None,
        Path("frame.png"),
        track_ids=np.array(tracks),
    )


CAR, SKY = 0, 1
LABELS = LabelSet(("car", "sky"), (True, False))


def tube_result(task, *segments):
    built = []
    for number, (label, track, columns) in enumerate(segments, start=1):
        mask = np.zeros((1, 4), bool)
        mask[:, columns] = True
        segment = Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=None)
        object.__setattr__(segment, "track_id", track)
        built.append(segment)
    return Result(task, (1, 4), LABELS, tuple(built))


def test_vpq_and_stq_of_a_switch():
    scorer = TubeScorer(LABELS, "panoptic")
    sample = tube_sample([CAR, SKY], [7, -1], [1, 1, 1, 2])
    for track in (1, 2):
        scorer.add(tube_result("panoptic", (CAR, track, [0, 1, 2]), (SKY, 5, [3])), sample)
    scorer.end_video("a")
    scores = scorer.metrics()
    # Two frames: the car has a tube of 6 pixels, and each prediction has 3: no IoU exceeds 1/2.
    assert scores["VPQ1"] == 100 and scores["VPQ2"] == pytest.approx(50)
    assert scores["VPQ3"] is None and scores["VPQ"] == pytest.approx(75)
    # AQ: two predictions with 3 of 6 pixels: (3 * 3/6 + 3 * 3/6) / 6.
    assert scores["AQ"] == pytest.approx(50) and scores["SQ"] == pytest.approx(100)
    assert scores["STQ"] == pytest.approx(100 * 0.5**0.5)
    assert scorer.per_class()["car"] == {"VPQ": pytest.approx(50), "IoU": pytest.approx(100)}


def test_tracks_that_are_not_confirmed_and_crowds():
    scorer = TubeScorer(LABELS, "panoptic")
    sample = tube_sample([CAR, CAR], [7, 0], [1, 1, 1, 2], [False, True])
    for _ in range(2):  # without an id, each frame has another track
        scorer.add(tube_result("panoptic", (CAR, None, [0, 1, 2]), (CAR, 4, [3])), sample)
    scorer.end_video("a")
    assert scorer.metrics()["AQ"] == pytest.approx(50)
    assert scorer.metrics()["VPQ1"] == 100 and scorer.metrics()["VPQ2"] == 0


def test_semantic_classes_are_stuff():
    scorer = TubeScorer(LABELS, "semantic")
    sample = tube_sample([CAR, CAR, SKY], [7, 8, -1], [1, 2, 2, 3])
    for _ in range(2):
        scorer.add(tube_result("semantic", (CAR, 1, [0, 1, 2]), (SKY, 2, [3])), sample)
    scores = scorer.metrics()
    assert scores["VPQ"] == 100 and scores["SQ"] == 100
    assert scores["VPQ_things"] is None and scores["STQ"] is None


def test_networks_of_clips_are_scored_with_their_ten_best_tracks(tmp_path):
    data = write_youtube_vis(tmp_path / "data")
    checkpoint = with_description(
        tiny_checkpoint(TINY_CLIPS, seed=4, top_k=10),
        tasks=("instance",),
        labels=LabelSet(("cap", "cat"), (True, True)),
    )
    write_huggingface(tmp_path / "model", checkpoint)
    predictor = unimask.load(tmp_path / "model", device="cpu")
    report = evaluate_tracks(data, predictor, split="val")
    assert (report["task"], report["videos"], report["images"]) == ("instance", 2, 6)
    folders = sorted((data / "valid" / "JPEGImages").iterdir())
    tracks: set[int | None] = set()
    for folder in folders:
        frames = predictor.track(folder, threshold=0.0)
        names = predictor.description.labels
        count = lambda frame: tracks.update(s.track_id for s in frame.result.segments)  # noqa: E731
        write_tracks(frames, tmp_path / "out", folder.name, names, ["youtube-vis"], count)
    assert len(tracks) > 4
    again = evaluate_tracks(data, results=tmp_path / "out", split="val")
    ranked = [name for name in report["metrics"] if name.startswith("A")]
    assert "AP" in ranked and "AR10" in ranked
    for name in ranked:
        assert again["metrics"][name] == pytest.approx(report["metrics"][name])


def test_bad_input(tmp_path, discs):
    data = write_youtube_vis(tmp_path / "data")
    with pytest.raises(DataError, match="no ids of objects through videos"):
        evaluate_tracks(discs, results=tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        evaluate_tracks(data, results=tmp_path / "none.json")
    with pytest.raises(DataError, match="neither YouTube-VIS JSON nor MOTS text"):
        evaluate_tracks(data, results=tmp_path)
    with pytest.raises(TaskError, match="tracks of things"):
        evaluate_tracks(data, results=tmp_path, task="panoptic")
    with pytest.raises(SettingsError, match="choose data or labels"):
        evaluate_tracks(data, results=tmp_path, categories="names")
    entry = youtube_vis_content(1)["annotations"][0]
    file = tmp_path / "results.json"
    for change, message in (
        ({"segmentations": [None]}, "1 masks, but its video has 3"),
        ({"segmentations": None}, "write it again"),
        ({"category_id": 3}, "category 3, which the data lacks"),
        ({"video_id": 99}, "no tracks of any"),
        ({"segmentations": [{"size": [4, 4], "counts": "`4"}, None, None]}, "results.json"),
    ):
        file.write_text(json.dumps([entry | change]))
        with pytest.raises(DataError, match=message):
            evaluate_tracks(data, results=file)
    for content, message in (
        ({"annotations": [entry], "videos": [{"id": 1}]}, "videos without id or file_names"),
        ({"annotations": [entry], "videos": 3}, "videos without id or file_names"),
        ({"annotations": [entry], "categories": [1]}, "categories without id or name"),
        ({"annotations": 3}, "write it again"),
        ([3], r"annotations\[0\]"),
    ):
        file.write_text(json.dumps(content))
        with pytest.raises(DataError, match=message):
            evaluate_tracks(data, results=file)
    mots = tmp_path / "00a0f.txt"
    for text, message in (
        ("x y\n", "is not MOTS text"),
        ("7 1 1 60 80 `4\n", "00a0f.txt: line 1"),
    ):
        mots.write_text(text)
        with pytest.raises(DataError, match=message):
            evaluate_tracks(data, results=mots)
