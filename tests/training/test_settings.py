"""Implausible options are one-line errors before anything is opened."""

import math

import pytest
from training.plan.test_choices import CPU, choose

from unimask.errors import MissingExtraError, SettingsError
from unimask.training import TrainingSettings, processes, train
from unimask.training.batches import ExampleNumbers
from unimask.training.processes import check_device
from unimask.training.settings import check_real, check_whole

INF, NAN = math.inf, math.nan
HUGE = 10**40


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("steps", (0, -1, HUGE)),
        ("batch_size", (0, -1, HUGE)),
        ("accumulate", (0, HUGE)),
        ("warmup_steps", (-1, HUGE)),
        ("seed", (-1, 2**63, HUGE)),
        ("workers", (-1, HUGE)),
        ("evaluate_every", (-1, HUGE)),
        ("patience", (-1, HUGE)),
        ("save_every", (0,)),
        ("max_bad_steps", (0,)),
        ("channels", (0, -3, HUGE)),
        ("num_queries", (0, HUGE)),
        ("learning_rate", (0, 0.0, -1e-4, INF, -INF, NAN)),
        ("backbone_rate", (-0.1, INF, NAN)),
        ("layer_decay", (0, 1.1, NAN)),
        ("weight_decay", (-1.0, INF, NAN)),
        ("clip_norm", (0, -1.0, INF, NAN)),
        ("ema_decay", (-0.1, 1.0, NAN, INF)),
        ("repeat_rare", (-0.1, 1.1, NAN)),
    ],
)
def test_implausible_settings_are_named(name, values):
    for value in values:
        with pytest.raises(SettingsError, match=f"^{name} is ") as failed:
            TrainingSettings(**{name: value})
        assert "\n" not in str(failed.value) and "pass " in str(failed.value)


@pytest.mark.parametrize("size", [0, -32, 33, 31, HUGE])
def test_invalid_sizes_are_named_with_their_option(size):
    with pytest.raises(SettingsError, match=r"^size is "):
        choose(CPU, size=size)


@pytest.mark.parametrize("value", ["5", None, True, NAN, 2.5, [], {}])
def test_values_of_other_types_are_not_numbers(value):
    with pytest.raises(SettingsError, match=r"^steps is .*: pass a whole number$"):
        check_whole("steps", value, 1, 9)
    if value != 2.5:
        with pytest.raises(SettingsError, match=r"^rate is .*: pass a share$"):
            check_real("rate", value, 0.0, 9.0, "a share")


@pytest.mark.parametrize("epochs", [0, -1, NAN, INF, 1e300])
def test_invalid_epochs_are_named(epochs):
    with pytest.raises(SettingsError, match=r"^(epochs|steps) is "):
        choose(CPU, epochs=epochs)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--epochs", "nan", "epochs is nan"),
        ("--epochs", "0", "epochs is 0"),
        ("--learning-rate", "inf", "learning_rate is inf"),
        ("--size", "33", "size is 33: pass a multiple of 32"),
        ("--workers", "-1", "--workers"),
        ("--seed", "9" * 30, "seed is 999"),
        ("--repeat-rare", "nan", "repeat_rare is nan"),
        ("--precision", "float16", "precision is 'float16': pass float32 or bfloat16"),
        ("--device", "foo", "--device foo: this machine has auto, cpu"),
        ("--logger", "paper", "no logger 'paper'"),
    ],
)
def test_the_command_line_names_them_too(
    command, check_error, discs, tmp_path, option, value, words
):
    code, _, err = command("train", discs, option, value, "-m", "mask2former-nano", "-o", tmp_path)
    check_error(code, err, words)
    assert not (tmp_path / "state.pt").exists()


def test_the_largest_seed_draws():
    assert TrainingSettings(seed=2**63 - 1).seed * 1_000_003 % 2**63 < 2**63


def test_memory_is_independent_of_the_number_of_steps():
    settings = TrainingSettings(steps=10**9, batch_size=3, accumulate=2)
    numbers = iter(ExampleNumbers(settings, 5 * 10**8, 1, 2))
    assert next(numbers) == [3 * (2 * 10**9 + 1) + offset for offset in range(3)]


@pytest.mark.parametrize(
    "device", ["foo", "", "cuda", "gpu", "mps", "cuda:0", "cpu:7", "c\0", "tpu"]
)
def test_unavailable_devices_are_refused_listing_the_available(monkeypatch, tmp_path, device):
    monkeypatch.setattr(processes, "available_devices", lambda: ("cpu",))
    with pytest.raises(SettingsError, match=r"this machine has auto, cpu$") as failed:
        train(tmp_path / "nothing", "mask2former-nano", device=device)  # before the data are opened
    assert "\n" not in str(failed.value)


def test_available_devices_are_accepted(monkeypatch):
    monkeypatch.setattr(processes, "available_devices", lambda: ("cpu", "cuda", "cuda:0"))
    for device in ("auto", "cpu", "cuda", "gpu", "cuda:0"):
        check_device(device)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="each process of torchrun takes its own"):
        check_device("cuda:0")


@pytest.mark.parametrize("module", ["lightning_fabric", "matplotlib", "tokenizers"])
def test_missing_extras_are_reported_before_the_dataset_is_opened(monkeypatch, tmp_path, module):
    real = processes.find_spec
    monkeypatch.setattr(processes, "find_spec", lambda n: None if n == module else real(n))
    with pytest.raises(MissingExtraError, match=r"pip install 'unimask\[train\]'"):
        train(tmp_path / "nothing", "mask2former-nano")


def test_missing_loggers_are_reported_before_the_dataset_is_opened(monkeypatch, tmp_path):
    monkeypatch.setattr("unimask.training.loggers.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"unimask\[wandb\]"):
        train(tmp_path / "nothing", "mask2former-nano", loggers=("wandb",))
