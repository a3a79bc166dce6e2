"""The papers' recipes with their published scores, and the dataset of rendered towns."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unimask.datasets import open_dataset
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene, build_sample
from unimask.errors import OutputError
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.zoo import published_models
from unimask.training import TrainingSettings
from unimask.training.schedule import rate_at

FOLDER = Path(__file__).parents[1] / "recipes"


def load_recipe(name, monkeypatch):
    """Import a recipe, which belongs to no package."""
    spec = importlib.util.spec_from_file_location(f"{name}_recipe", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recipes(monkeypatch):
    return load_recipe("mask2former", monkeypatch)


@pytest.mark.parametrize("processes", [1, 2, 8])
@pytest.mark.parametrize("name", ["coco", "ade20k", "cityscapes", "mapillary"])
def test_recipes_equal_the_papers(recipes, name, processes, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    recipe = recipes.recipes()[name]
    settings = recipe.settings
    assert isinstance(settings, TrainingSettings) and recipe.model in MODEL_CONFIGS
    assert settings.batch_size * settings.accumulate * processes == 16
    published = next(model for model in published_models() if model.name == recipe.model)
    assert recipe.expected.items() <= dict(published.scores).items()


def test_cocos_schedule_steps_match_the_paper(recipes):
    settings = recipes.recipes()["coco"].settings
    assert rate_at(327_777, settings) == 1 and rate_at(327_778, settings) == pytest.approx(0.1)
    assert rate_at(355_091, settings) == pytest.approx(0.1)
    assert rate_at(355_093, settings) == pytest.approx(0.01)


def test_recipes_start_and_resume(recipes, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        recipes, "train", lambda *arguments, **options: calls.append((arguments, options))
    )
    recipes.main("ade20k", tmp_path, tmp_path / "swin.pth", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.pt").touch()
    recipes.main("ade20k", tmp_path, tmp_path / "swin.pth", tmp_path / "run")
    (first, second) = (options for _, options in calls)
    assert first["backbone_weights"].endswith("swin.pth") and not first["resume"]
    assert second["resume"]


@pytest.mark.parametrize(("year", "steps"), [("2019", 6000), ("2021", 8000)])
def test_the_recipe_for_videos_equals_the_paper(monkeypatch, tmp_path, year, steps):
    recipe = load_recipe("mask2former_video", monkeypatch)
    built, calls = recipe.build_recipe(year), []
    published = next(model for model in published_models() if model.name == built.model)
    assert built.expected == published.scores and published.name in MODEL_CONFIGS
    settings = built.settings
    assert settings.clips and settings.steps == steps
    assert settings.batch_size * settings.accumulate == 16
    assert settings.preprocessing.shortest_edge == 360
    monkeypatch.setattr(recipe, "train", lambda *a, **options: calls.append((a, options)))
    recipe.main(year, tmp_path, tmp_path / "model_final_3c8ec9.pkl", tmp_path / "run")
    ((arguments, options),) = calls
    assert arguments[1].endswith("model_final_3c8ec9.pkl") and not options["resume"]


def test_a_dataset_of_rendered_towns_is_read_as_written(tmp_path, monkeypatch):
    command = [sys.executable, "-m", "recipes.rendered_town", str(tmp_path / "town")]
    options = ["--train", "3", "--val", "2", "--size", "96", "--workers", "1"]
    finished = subprocess.run(
        [*command, *options], cwd=FOLDER.parent, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    for split, count in (("train", 3), ("val", 2)):
        dataset = open_dataset(tmp_path / "town", split)
        assert len(dataset) == count and dataset.labels == TOWN_LABELS
        seeds = [1_000_000 * (split == "val") + n for n in range(count)]
        for index, seed in enumerate(seeds):
            rendered = TownScene(seed, (96, 96)).render()
            expected = build_sample(rendered, Path("image.jpg"))
            sample = dataset[index]
            front = np.concatenate([[-1], sample.label_ids])[sample.front]
            assert (front == np.where(sample.front > 0, rendered.label_ids, -1)).all()
            ignored = np.zeros((96, 96), bool) if expected.ignored is None else expected.ignored
            assert ((sample.front == 0) == ignored).all()
            assert len(sample.label_ids) == len(expected.label_ids)
            difference = np.abs(sample.image.astype(int) - rendered.image).mean()
            assert difference < 4
    with pytest.raises(OutputError, match="is not empty"):
        load_recipe("rendered_town", monkeypatch).write_dataset(tmp_path / "town", {"train": 1})
