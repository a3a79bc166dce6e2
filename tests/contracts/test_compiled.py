"""Every network compiles and exports as one graph with equal outputs."""

import json
import os
import subprocess
import sys

import pytest

START = """
import json, warnings
warnings.simplefilter("ignore")  # of PyTorch's tracer, about caches that it looks through
import torch
from dataclasses import replace
from test_backbones import TINY
import conftest
from unimask.modeling.build import build_segmenter

def network(name):
    torch.manual_seed(0)
    config = getattr(conftest, name, None) or replace(conftest.TINY_RESNET, backbone=TINY[name])
    return build_segmenter(config).eval(), torch.randn(1, 3, 64, 96)

def report_error(name, found, expected):
    pairs = zip(found, expected, strict=True)
    error = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in pairs)
    print(json.dumps([name, error]), flush=True)
"""

CAPTURED = """
for name in NAMES:
    model, image = network(name)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.inference_mode():
        report_error(name, compiled(image)[:2], model(image)[:2])
with torch.inference_mode():
    image = torch.randn(2, 3, 96, 64)
    report_error("another size", compiled(image)[:2], model(image)[:2])
"""

GRADIENTS = """
for name in NAMES:
    model, image = network(name)
    results = []
    for run in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        class_logits, mask_logits = run(image)[:2]
        loss = class_logits.square().mean() + mask_logits.square().mean()
        learned = [part for part in model.parameters() if part.requires_grad]
        slopes = torch.autograd.grad(loss, learned, allow_unused=True)
        whole = torch.cat([slope.flatten() for slope in slopes if slope is not None])
        results.append([class_logits, mask_logits, whole])
    report_error(name, *results)
"""

EXPORTED = """
for name in NAMES:
    model, image = network(name)
    with torch.no_grad():
        expected = model(image)[:2]  # fill the caches for this size before exporting
        program = torch.export.export(model, (image,))
        operators = [str(node.target) for node in program.graph.nodes]
        deformable = any("DeformableAttention" in type(part).__name__ for part in model.modules())
        assert ("unimask.deformable_attention.default" in operators) == deformable
        report_error(name, program.module()(image)[:2], expected)
"""

COMMON = ["TINY_SWIN", "TINY_ONEFORMER"]  # the last one is compiled for another size too
RARE = [
    "TINY_MASKFORMER", "TINY_ENCODER", "TINY_FAPN", "TINY_PER_PIXEL", "TINY_PER_PIXEL_PLUS",
    "TINY_PROPOSALS", "TINY_DETR", "convnext", "dinat", "TINY_RESNET", "efficientnet-lite",
]  # fmt: skip


@pytest.mark.compile
@pytest.mark.parametrize(
    ("code", "names"),
    [
        pytest.param(CAPTURED, COMMON, id="captured"),
        pytest.param(EXPORTED, COMMON, id="exported"),
        pytest.param(CAPTURED, RARE, id="captured, others", marks=pytest.mark.slow),
        pytest.param(
            GRADIENTS,
            ["TINY_RESNET", "dinat", "efficientnet-lite"],
            id="learning",
            marks=pytest.mark.slow,
        ),
        pytest.param(EXPORTED, RARE, id="exported, others", marks=pytest.mark.slow),
    ],
)
def test_a_network_is_one_graph(code, names, request, tmp_path):
    """Run in a separate process, without shape checks, which no compiler can trace."""
    tests = request.config.rootpath / "tests"
    paths = [str(tests), str(tests / "contracts"), os.environ.get("PYTHONPATH", "")]
    script = tmp_path / "script.py"  # the tracer reads the source lines of its callers
    script.write_text(f"{START}\nNAMES = {names}\n{code}")
    actual = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert actual.returncode == 0, actual.stderr[-3000:]
    errors = dict(json.loads(line) for line in actual.stdout.splitlines())
    assert set(errors) >= set(names)
    assert max(errors.values()) < 1e-4, errors
