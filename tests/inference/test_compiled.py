"""Compiled predictors."""

import json
import os
import subprocess
import sys
import threading
from copy import deepcopy

import pytest
import torch
from conftest import TINY_MASKFORMER, TINY_ONEFORMER, tiny_checkpoint

import unimask
from unimask.checkpoints import write_huggingface
from unimask.errors import SettingsError
from unimask.inference import compiled
from unimask.inference.compiled import CompiledSegmenter, CompileWarning
from unimask.modeling.build import build_segmenter

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Compiler:
    """Stub of PyTorch's compiler that records calls and changes nothing."""

    def __init__(self):
        self.calls = []

    def __call__(self, function, **options):
        self.options = options

        def run(*inputs):
            self.calls.append(inputs[0].shape)
            return function(*inputs)

        return run


@pytest.fixture
def compiler(monkeypatch):
    compiler_stub = Compiler()
    monkeypatch.setattr(torch, "compile", compiler_stub)
    return compiler_stub


def network(config=TINY_MASKFORMER):
    torch.manual_seed(0)
    return build_segmenter(config).eval().requires_grad_(False)


def image(width, count=1):
    return torch.randn(count, 3, 32, width, generator=torch.Generator().manual_seed(width))


def test_a_size_is_compiled_at_its_second_occurrence(compiler):
    run = CompiledSegmenter(network())
    compiler.calls.clear()  # remove the calls that check for a compiler
    assert compiler.options == {"dynamic": False, "mode": None}
    with torch.inference_mode():
        for width in (32, 64, 32, 96, 32):
            found, expected = run(image(width), "panoptic"), run.network(image(width))
            assert torch.equal(found.mask_logits, expected.mask_logits)
    assert [shape[-1] for shape in compiler.calls] == [32, 32]
    with torch.inference_mode():
        run(image(32, 2)), run(image(32, 2))
    assert compiler.calls[-1][0] == 2


def test_tasks_are_compiled_separately_for_task_conditioned_networks(compiler):
    run = CompiledSegmenter(network(TINY_ONEFORMER))
    compiler.calls.clear()
    with torch.inference_mode():
        run(image(32), "semantic"), run(image(32), "instance")
        assert not compiler.calls
        run(image(32), "semantic")
    assert len(compiler.calls) == 1


def test_sizes_beyond_the_limit_run_eagerly_and_are_reported_once(compiler, monkeypatch):
    monkeypatch.setattr(compiled, "MAX_COMPILED_SHAPES", 1)
    run = CompiledSegmenter(network())
    compiler.calls.clear()
    with torch.inference_mode():
        run(image(32)), run(image(32)), run(image(64))
        with pytest.warns(CompileWarning, match="1 sizes of images are compiled"):
            run(image(64))
        run(image(64)), run(image(96)), run(image(96))  # warnings are errors here
    assert [shape[-1] for shape in compiler.calls] == [32]


def test_threads_share_the_cache_and_copies_start_empty(compiler):
    run = CompiledSegmenter(network())
    compiler.calls.clear()
    outputs = []

    def work():
        with torch.inference_mode():
            outputs.extend(run(image(32)).mask_logits for _ in range(4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiler.calls) == 15 and run.shape_counts[next(iter(run.shape_counts))] == 16
    assert all(torch.equal(output, outputs[0]) for output in outputs)
    assert not deepcopy(run).shape_counts


def test_compiler_errors_are_reported_in_one_line(monkeypatch, tiny_model):
    def compile(function, **options):
        raise RuntimeError("\n  no compiler was found.\nSet TORCHDYNAMO_VERBOSE=1 for more")

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.raises(SettingsError, match=r"here: no compiler was found; a C\+\+ compiler and "):
        unimask.load(tiny_model, device="cpu", compile=True)


def test_networks_that_cannot_be_compiled_are_one_line_errors(monkeypatch):
    class Broken(Compiler):
        def __call__(self, function, **options):
            def run(*inputs):
                if function is compiled.increment:
                    return function(*inputs)
                raise torch._dynamo.exc.Unsupported("a file is too short\nmore")

            return run

    monkeypatch.setattr(torch, "compile", Broken())
    run = CompiledSegmenter(network())
    with torch.inference_mode():
        run(image(32))
        with pytest.raises(SettingsError, match="cannot be compiled: a file is too short; leave"):
            run(image(32))


def test_a_compiled_model_is_saved_under_plain_names(compiler, tiny_model, tmp_path):
    plain = unimask.load(tiny_model, device="cpu")
    unimask.load(tiny_model, device="cpu", compile=True).save(tmp_path / "saved")
    again = unimask.load(tmp_path / "saved", device="cpu")
    for name, value in plain.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0)


SCRIPT = """
import json, sys, warnings
warnings.simplefilter("error")
import torch, unimask
from PIL import Image
device = sys.argv[2]
image = Image.effect_noise((96, 64), 80).convert("RGB")
model = unimask.load(sys.argv[1], device=device, compile=True)
outputs = []
run = model.logits
model.logits = lambda *inputs: outputs.append(run(*inputs)) or outputs[-1]
results = [model.predict(image) for _ in range(4)]
first, *others = outputs
errors = [
    float((a - b).abs().max() / a.abs().max())
    for other in others for a, b in zip(first[:2], other[:2], strict=True)
]
print(json.dumps(errors))
"""


def in_a_process(arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.compile
def test_a_missing_compiler_is_reported_before_prediction(tiny_model, tmp_path):
    missing = {"CXX": str(tmp_path / "missing"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    found = in_a_process([tiny_model, "cpu"], **missing)
    assert "SettingsError: nothing can be compiled here: " in found.stderr
    assert "g++ python3-dev" in found.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.compile
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, CUDA])])
@pytest.mark.parametrize("name", ["mask2former", "oneformer", "maskformer"])
def test_compiled_logits_equal_eager_logits(name, device, tmp_path):
    """With the real compiler: on CUDA the third and fourth runs replay a CUDA graph."""
    configs = {"oneformer": TINY_ONEFORMER, "maskformer": TINY_MASKFORMER}
    config = [configs[name]] if name in configs else []
    write_huggingface(tmp_path, tiny_checkpoint(*config))
    found = in_a_process([tmp_path, device])
    assert found.returncode == 0, found.stderr[-3000:]
    errors = json.loads(found.stdout)
    assert len(errors) == 6 and max(errors) < 1e-4
