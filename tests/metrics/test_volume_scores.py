"""Dice, HD95 and NSD of volumes: equal to `surface-distance`, and the documented empty cases."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.errors import DataError, SettingsError
from unimask.metrics import VolumeScores, score_structure
from unimask.metrics.surface_elements import CORNERS, element_areas
from unimask.metrics.volume_surfaces import surface_distances

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("surface_distance") is None, reason="needs surface-distance"
)
SPACINGS = st.tuples(*(st.sampled_from((0.3, 0.7, 1.0, 2.5, 5.0)),) * 3)


def random_mask(rng, shape, smooth):
    """Return a mask of noise, or of a few boxes."""
    if not smooth:
        return rng.random(shape) < rng.uniform(0.1, 0.9)
    mask = np.zeros(shape, bool)
    for _ in range(3):
        low = [rng.integers(0, side - 1) for side in shape]
        box = tuple(slice(a, rng.integers(a + 1, s + 1)) for a, s in zip(low, shape, strict=True))
        mask[box] = rng.random() < 0.8
    return mask


def test_areas_of_simple_surfaces():
    """Areas of one voxel, two, a face and all, in mm²; the cube has corners at half spacings."""
    areas = element_areas((1.0, 2.0, 3.0))

    def code(*corners):
        return sum(1 << CORNERS.index(corner) for corner in corners)

    assert areas[0] == areas[255] == 0
    triangle = np.linalg.norm(np.cross((-0.5, 1, 0), (-0.5, 0, 1.5))) / 2
    assert areas[code((0, 0, 0))] == pytest.approx(triangle)
    assert areas[255 - code((0, 0, 0))] == pytest.approx(triangle)
    face = [corner for corner in CORNERS if corner[0] == 0]
    assert areas[code(*face)] == pytest.approx(6.0)
    assert areas[code((0, 0, 0), (1, 1, 1))] == pytest.approx(2 * triangle)


def test_areas_of_a_box_are_those_of_its_faces():
    """A large box has the area of its faces, but for its edges and corners, which are cut."""
    mask = np.zeros((42, 52, 62), bool)
    mask[1:41, 1:51, 1:61] = True
    areas = surface_distances(mask, mask, (1.0, 2.0, 0.5)).predicted_areas.sum()
    x, y, z = 40 * 1.0, 50 * 2.0, 60 * 0.5
    assert areas == pytest.approx(2 * (x * y + y * z + x * z), rel=0.02)


@pytest.mark.extra
@needs_package
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), spacing=SPACINGS, smooth=st.booleans())
def test_scores_equal_the_package_surface_distance(seed, spacing, smooth):
    import surface_distance as package

    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 12, 3))
    predicted, truth = (random_mask(rng, shape, smooth) for _ in range(2))
    if not predicted.any() or not truth.any():
        return
    tolerance = float(rng.choice([0.0, 0.7, 1.0, 3.0]))
    distances = package.compute_surface_distances(truth, predicted, spacing)
    ours = score_structure(predicted, truth, spacing, tolerance)
    assert ours.hd95 == pytest.approx(package.compute_robust_hausdorff(distances, 95))
    expected = package.compute_surface_dice_at_tolerance(distances, tolerance)
    assert ours.nsd == pytest.approx(100 * expected)
    assert ours.dice == pytest.approx(100 * package.compute_dice_coefficient(truth, predicted))
    found = surface_distances(predicted, truth, spacing)
    assert np.allclose(found.ground_truth_areas.sum(), distances["surfel_areas_gt"].sum())
    assert np.allclose(found.predicted, distances["distances_pred_to_gt"])


@pytest.mark.extra
@needs_package
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_areas_equal_the_table_of_surface_distance():
    from surface_distance import lookup_tables

    kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    codes = [
        sum(int(kernel[corner]) for bit, corner in enumerate(CORNERS) if code >> bit & 1)
        for code in range(256)
    ]
    for spacing in [(1.0, 1.0, 1.0), (1.0, 2.0, 3.5), (0.3, 5.0, 0.7)]:
        table = lookup_tables.create_table_neighbour_code_to_surface_area(np.array(spacing))
        assert np.allclose(element_areas(spacing), table[codes], rtol=1e-12)


def test_empty_masks():
    empty, full = np.zeros((4, 5, 6), bool), np.ones((4, 5, 6), bool)
    assert score_structure(empty, empty, (1, 1, 1)) == (None, None, None)
    assert score_structure(full, empty, (1, 1, 1)) == (0.0, None, 0.0)
    assert score_structure(empty, full, (1, 1, 1)) == (0.0, None, 0.0)
    assert score_structure(full, full, (1, 1, 1)) == (100.0, 0.0, 100.0)


def test_means_over_cases_and_structures():
    truth = np.zeros((8, 9, 10), np.uint8)
    truth[2:6, 2:6, 2:6] = 1
    truth[6:8, 6:8, 6:8] = 2
    shifted, missed = np.roll(truth, 1, axis=2), np.where(truth == 2, 0, truth)
    scores = VolumeScores(
        {"liver": 1, "spleen": 2, "lung": 3}, {"liver": 1, "spleen": 0, "lung": 2}
    )
    scores.update("a", shifted, truth, (1.0, 1.0, 2.0))
    scores.update("b", missed, truth, (1.0, 1.0, 2.0))
    scores.update("c", truth, missed, (1.0, 1.0, 2.0))
    assert scores.cases["a"]["liver"].dice == 75.0
    assert scores.cases["a"]["liver"].hd95 == 2.0
    rows = scores.per_structure()
    assert rows["liver"]["Dice"] == pytest.approx((75 + 100 + 100) / 3)
    assert rows["liver"]["HD95"] == pytest.approx(2 / 3)
    assert rows["spleen"]["Dice"] == pytest.approx((50 + 0 + 0) / 3)
    assert rows["spleen"]["HD95"] == 2.0  # of the one case that has it twice
    assert [rows["spleen"][key] for key in ("cases", "missed", "invented")] == [3, 1, 1]
    assert rows["lung"]["Dice"] is None and rows["lung"]["cases"] == 0
    dices = [rows[name]["Dice"] for name in ("liver", "spleen")]
    assert scores.compute()["Dice"] == pytest.approx(np.mean(dices))
    assert VolumeScores({"a": 1}).compute() == {"Dice": None, "HD95": None, "NSD": None}


def test_bad_arguments_get_one_line():
    mask = np.zeros((4, 5, 6), bool)
    scores = VolumeScores({"a": 1})
    labels = mask.astype(np.uint8)
    scores.update("one", labels, labels, (1, 1, 1))
    with pytest.raises(DataError, match="'one' was added before"):
        scores.update("one", labels, labels, (1, 1, 1))
    with pytest.raises(DataError, match=r"\(4, 5, 6\) voxels, the ground truth \(6, 5, 4\)"):
        scores.update("two", labels, labels.T, (1, 1, 1))
    for spacing in [(1, 1), (1, 1, 0), (1, 1, np.nan)]:
        with pytest.raises(SettingsError, match="three distances in mm"):
            score_structure(mask, mask, spacing)
    for tolerance in (-1, np.nan, np.inf):
        with pytest.raises(SettingsError, match="must be a distance in mm"):
            score_structure(mask, mask, (1, 1, 1), tolerance)
    with pytest.raises(SettingsError, match="tolerance lacks 'b'"):
        VolumeScores({"a": 1, "b": 2}, {"a": 1})
