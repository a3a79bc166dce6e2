"""A run's own files, spoilt: one line, never a traceback."""

import json
from dataclasses import asdict

import pytest
from conftest import TINY_RESNET
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.errors import TrainingError
from unimask.training.run_folder import RunFolder
from unimask.training.settings import TrainingSettings

TOLD = TrainingSettings(
    steps=7, seed=2**40, criterion=CriterionConfig(), preprocessing=PreprocessingConfig()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def test_settings_come_back(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_settings(TOLD, {"model": TINY_RESNET.backbone.kind})
    assert folder.read_settings() == TOLD


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_spoilt_settings_fail_with_our_errors_alone(tmp_path, data):
    folder = RunFolder(tmp_path)
    content = {"settings": json.loads(json.dumps(asdict(TOLD)))}
    part = data.draw(st.sampled_from(["", "settings", "augmentation", "criterion"]))
    inner = content if not part else content["settings"]
    inner = inner if part in ("", "settings") else inner[part]
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(JSON)
    (tmp_path / "settings.json").write_text(json.dumps(content))
    try:
        assert isinstance(folder.read_settings(), TrainingSettings)
    except TrainingError as error:
        assert "settings.json" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 10**5, '{"settings": 3}', "\0"])
def test_settings_that_are_none_are_named(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(TrainingError, match=r"settings\.json is damaged"):
        RunFolder(tmp_path).read_settings()


@pytest.mark.parametrize("text", ["step\nmany\n", "epoch\n1\n", "step,loss\n,1\n"])
def test_spoilt_metrics_are_named(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(TrainingError, match=r"metrics\.csv is damaged"):
        RunFolder(tmp_path).forget_after(3)


def test_spoilt_states_are_named(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(TrainingError, match=r"state\.pt is damaged") as failed:
        RunFolder(tmp_path).read_state()
    assert "\n" not in str(failed.value)
