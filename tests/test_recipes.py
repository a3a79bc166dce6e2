"""The papers' recipes: settings and published scores."""

import importlib.util
from pathlib import Path

import pytest

from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.zoo import published_models
from unimask.training import TrainingSettings
from unimask.training.schedule import rate_at

FILE = Path(__file__).parents[1] / "recipes" / "mask2former.py"


@pytest.fixture
def recipes(monkeypatch):
    spec = importlib.util.spec_from_file_location("mask2former_recipes", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


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
