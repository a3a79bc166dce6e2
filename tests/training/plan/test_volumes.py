"""Training on volumes: the window of the modality and the slices are saved with the weights."""

import importlib.util

import numpy as np
import pytest
from volume_datasets import axial_slices, write_nnunet

import unimask
from unimask.errors import SettingsError
from unimask.training.plan.plan import plan_run
from unimask.training.plan.words import describe
from unimask.training.request import Request
from unimask.volumes.windows import measure_z_score

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="needs nibabel"),
]


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return write_nnunet(tmp_path_factory.mktemp("ct") / "ct")


@pytest.fixture(scope="module")
def mr(tmp_path_factory):
    return write_nnunet(tmp_path_factory.mktemp("mr") / "mr", count=2, modality="MRI")


def plan(data, slices=None, **changes):
    changes = {"size": 64, "steps": 2, "batch_size": 1, "precision": "float32"} | changes
    return plan_run(Request(data=data, model="mask2former-nano", slices=slices, changes=changes))


def test_ct_is_windowed_by_the_labelled_voxels_of_the_training_cases_alone(ct):
    planned = plan(ct)
    values = [
        axial_slices(ct / f"imagesTr/{case.name}_0000.nii.gz")[
            axial_slices(ct / f"labelsTr/{case.name}.nii.gz") > 0
        ]
        for case in planned.dataset.cases
    ]
    expected = np.percentile(np.concatenate(values), (0.5, 99.5))
    assert len(values) == 4
    assert planned.description.preprocessing.window == pytest.approx(expected)
    assert planned.dataset.window == planned.validation.window
    assert planned.validation.window == planned.description.preprocessing.window
    assert "percentiles of the labelled voxels of 4 CTs" in describe(planned.facts)


def test_other_modalities_get_the_z_score_and_options_win(mr):
    planned = plan(mr)
    assert planned.description.preprocessing.window == "z-score"
    assert "window z-score" in describe(planned.facts)
    planned = plan(mr, window=(0.0, 900.0))
    assert planned.description.preprocessing.window == (0.0, 900.0)
    assert "z-score" not in describe(planned.facts)


@pytest.mark.parametrize(("slices", "channels"), [(1, 3), (3, 3), (5, 5)])
def test_neighbouring_slices_are_saved_and_set_the_channels(mr, slices, channels):
    planned = plan(mr, slices)
    assert planned.description.preprocessing.slices == slices
    assert planned.description.config.backbone.in_channels == channels
    assert planned.dataset[0].image.shape[2] == channels


def test_slices_that_do_not_fit_get_one_line(mr, discs):
    with pytest.raises(SettingsError, match="pass 1, 3 or 5 neighbouring slices"):
        plan(mr, 4)
    with pytest.raises(SettingsError, match="applies to volumes"):
        plan(discs, 3)


@pytest.mark.slow
def test_a_trained_model_applies_its_window_and_slices_to_volumes(mr, tmp_path):
    out = tmp_path / "run"
    options = {"size": 64, "batch_size": 1, "precision": "float32", "workers": 0, "quiet": True}
    run = unimask.train(mr, "mask2former-nano", out=out, slices=5, steps=2, **options)
    assert run.finished
    model = unimask.load(out)
    assert model.description.preprocessing.slices == 5
    result = model.predict_volume(mr / "imagesTr/case_000_0000.nii.gz")
    assert result.window == measure_z_score(result.volume)
    values = axial_slices(mr / "imagesTr/case_000_0000.nii.gz").astype(float)
    limits = values.mean() - 4 * values.std(), values.mean() + 4 * values.std()
    assert result.window == pytest.approx(limits)
    assert unimask.evaluate(mr, model)["volumes"]["cases"]
    more = unimask.train(mr, str(out), out=tmp_path / "more", steps=1, **options)
    assert more.finished
    assert unimask.load(tmp_path / "more").description.preprocessing.slices == 5
