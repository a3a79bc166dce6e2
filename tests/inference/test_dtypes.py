"""`dtype="auto"` takes what is measured to be faster, without a trace in the caller's state."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import unimask
from unimask.inference import dtype_speed, dtypes
from unimask.inference.dtype_speed import Speedups, measure_speedups, measured_speedups
from unimask.inference.dtypes import (
    FastestDtype,
    LoadWarning,
    describe_speedup,
    fastest_dtype,
    is_memory_bound,
)

CPU = torch.device("cpu")
PLAIN = nn.Linear(4096, 4096, device="meta")
DEPTHWISE = nn.Sequential(PLAIN, nn.Conv2d(8, 8, 3, groups=8))


def set_speeds(monkeypatch, product, depthwise):
    monkeypatch.setattr(dtypes, "measured_speedups", lambda training: Speedups(product, depthwise))


@pytest.mark.parametrize(
    ("product", "depthwise", "plain", "memory_bound"),
    [
        (7.0, 1.1, torch.bfloat16, torch.bfloat16),  # AMX, prediction
        (2.3, 0.85, torch.bfloat16, torch.float32),  # AMX, training
        (0.6, 0.7, torch.float32, torch.float32),  # AVX-512 BF16
        (1.29, 1.29, torch.float32, torch.float32),
        (1.31, 1.31, torch.bfloat16, torch.bfloat16),
        (0.1, 0.02, torch.float32, torch.float32),  # AVX2
    ],
)
def test_float32_is_left_only_for_a_clear_gain(
    monkeypatch, product, depthwise, plain, memory_bound
):
    set_speeds(monkeypatch, product, depthwise)
    assert fastest_dtype(CPU, PLAIN, training=False).dtype == plain
    assert fastest_dtype(CPU, DEPTHWISE, training=True).dtype == memory_bound


def test_other_devices_are_not_measured(monkeypatch):
    monkeypatch.setattr(dtypes, "measured_speedups", lambda training: pytest.fail("measured"))
    assert fastest_dtype(torch.device("mps"), PLAIN, training=True) == FastestDtype(torch.float32)
    for native, kind in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation, n=native: n)
        assert fastest_dtype(torch.device("cuda"), PLAIN, training=True) == FastestDtype(kind)


def test_networks_with_depthwise_or_narrow_layers_are_memory_bound():
    assert is_memory_bound(DEPTHWISE) and is_memory_bound(nn.Linear(8, 8))
    assert not is_memory_bound(PLAIN)
    assert not is_memory_bound(nn.Sequential(PLAIN, nn.Conv2d(8, 8, 3, groups=2)))


def test_the_measurement_leaves_the_callers_state_unchanged():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    for training in (False, True):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            numbers = measure_speedups(training=training)
            assert torch.is_inference_mode_enabled() and torch.is_autocast_enabled("cpu")
            assert not torch.is_grad_enabled()
        assert numbers.keys() == {"product", "depthwise"} and min(numbers.values()) > 0
    assert torch.equal(before, torch.get_rng_state()) and threads == torch.get_num_threads()


def test_the_measurement_is_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNIMASK_CACHE", str(tmp_path))
    monkeypatch.setattr(
        dtype_speed, "measure_speedups", lambda training: {"product": 3.0, "depthwise": 2.0}
    )
    assert measured_speedups(training=True) == Speedups(3.0, 2.0)
    monkeypatch.setattr(dtype_speed, "measure_speedups", lambda training: pytest.fail("again"))
    assert measured_speedups(training=True) == Speedups(3.0, 2.0)
    monkeypatch.setattr(torch, "__version__", "another")
    with pytest.raises(pytest.fail.Exception):
        measured_speedups(training=True)


def test_a_type_without_instructions_is_timed_once(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(dtype_speed, "clock", lambda: now[0])

    def call(name, seconds):
        calls.append(name)
        now[0] += seconds

    fast, slow = lambda: call("fast", 0.004), lambda: call("slow", 1.0)
    assert dtype_speed.speedup(fast, slow) == pytest.approx(0.004)
    assert calls.count("slow") == 1
    calls.clear()
    assert dtype_speed.speedup(fast, lambda: call("slow", 0.02)) == pytest.approx(0.2)
    assert calls.count("slow") == 1 + 3  # the first call, and those of 0.05 seconds


X86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")


@pytest.mark.skipif(not X86, reason="oneDNN limits only the instruction sets of x86")
def test_processors_without_bfloat16_products_stay_in_float32(tmp_path):
    program = (
        "import torch; from torch import nn; from unimask.inference.dtypes import fastest_dtype\n"
        "for training in (False, True):\n"
        "    layer, cpu = nn.Linear(4096, 4096), torch.device('cpu')\n"
        "    fastest = fastest_dtype(cpu, layer, training=training)\n"
        "    assert fastest.dtype == torch.float32 and fastest.speedup < 1, fastest\n"
    )
    environment = {"ONEDNN_MAX_CPU_ISA": "AVX2", "UNIMASK_CACHE": str(tmp_path)}
    done = run_with(environment, program)
    assert done.returncode == 0, done.stderr


def test_bfloat16_predicts_on_processors_without_its_instructions(tiny_model):
    program = (
        "import numpy, unimask\n"
        f"model = unimask.load({str(tiny_model)!r}, dtype='bfloat16')\n"
        "model.predict(numpy.zeros((64, 64, 3), numpy.uint8), 'semantic')\n"
    )
    done = run_with({"ONEDNN_MAX_CPU_ISA": "AVX2"}, program)
    assert done.returncode == 0, done.stderr


def run_with(environment, program):
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("speeds", "dtype", "message"),
    [
        ((9.0, 9.0), torch.bfloat16, "bfloat16 on cpu (bfloat16 measured 9.0 times as fast"),
        ((0.5, 0.5), torch.float32, "float32 on cpu (bfloat16 measured 2.0 times as slow"),
    ],
)
def test_the_choice_of_load_is_printed(tiny_model, monkeypatch, speeds, dtype, message):
    set_speeds(monkeypatch, *speeds)
    with pytest.warns(LoadWarning) as caught:
        assert unimask.load(tiny_model, device="cpu", dtype="auto").dtype == dtype
    assert message in str(caught[0].message)


def test_speedups_are_described_with_their_sense():
    assert describe_speedup(1.26) == "bfloat16 measured 1.3 times as fast as float32"
    assert describe_speedup(0.25) == "bfloat16 measured 4.0 times as slow as float32"
