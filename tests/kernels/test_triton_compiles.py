"""Triton's kernels compile to machine code of graphics cards, without a card."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

CODE = """
import sys
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from unimask.kernels.deformable_attention.triton_kernels import backward_kernel, forward_kernel

kind, capability = sys.argv[1], int(sys.argv[2])
constants = dict(
    HEADS=8, LEVELS=3, POINTS=4, SLOTS=16, C=32, WIDE=tl.float32, ADD=True, Q=32
)
types = dict.fromkeys(["grad_value", "grad_steps", "grad_scores", "centres"], "*fp32")
types |= dict.fromkeys(["value", "steps_x", "steps_y", "scores", "out", "grad_out"], "*" + kind)
types["levels"] = "*i32"
for kernel in (backward_kernel, forward_kernel):
    names = kernel.arg_names
    own = {name: value for name, value in constants.items() if name in names}
    kinds = {name: "constexpr" if name in own else types.get(name, "i32") for name in names}
    made = triton.compile(
        ASTSource(kernel, kinds, own),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": 4},
    )
    print(len(made.asm["cubin"]))
"""


@pytest.mark.extra
@pytest.mark.compile
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize(("kind", "capability"), [("fp32", 90), ("bf16", 80)])
def test_kernels_become_machine_code(kind, capability, tmp_path):
    """Run in a separate process, since Triton does not compile in interpreter mode."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    actual = subprocess.run(
        [sys.executable, "-c", CODE, kind, str(capability)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert actual.returncode == 0, actual.stderr[-3000:]
    assert all(int(size) > 1000 for size in actual.stdout.split())
