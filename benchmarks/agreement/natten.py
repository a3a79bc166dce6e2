"""Compare our neighbourhood attention with NATTEN's published CPU kernels, on random maps.

Needs a checkout of NATTEN at v0.14.4 (https://github.com/SHI-Labs/NATTEN), whose two files of 2D
kernels are compiled here; a compiler and ninja; and some minutes.

    python -m benchmarks.agreement.natten NATTEN
"""

import sys
import tempfile
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.cpp_extension import load

from unimask.kernels.neighborhood_attention import (
    neighborhood_attention_reference,
    neighborhood_attention_tiles,
)

BINDING = """
#include <torch/extension.h>
using torch::Tensor;
namespace natten {
Tensor natten2dqkrpb_cpu_forward(const Tensor&, const Tensor&, const Tensor&, const int);
Tensor natten2dav_cpu_forward(const Tensor&, const Tensor&, const int);
std::vector<Tensor> natten2dqkrpb_cpu_backward(
    const Tensor&, const Tensor&, const Tensor&, const int);
std::vector<Tensor> natten2dav_cpu_backward(
    const Tensor&, const Tensor&, const Tensor&, const int);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("logits", &natten2dqkrpb_cpu_forward);
  m.def("mix", &natten2dav_cpu_forward);
  m.def("logits_backward", &natten2dqkrpb_cpu_backward);
  m.def("mix_backward", &natten2dav_cpu_backward);
}
}
"""
PARTS = ("output", "query", "key", "value", "bias")


def build(natten: Path, folder: Path):
    """Compile the kernels."""
    binding = folder / "binding.cpp"
    binding.write_text(BINDING)
    kernels = [natten / f"natten/src/cpp/natten2d{name}_cpu_kernel.cpp" for name in ("av", "qkrpb")]
    sources = [str(path) for path in (binding, *kernels)]
    return load(
        "natten_2d", sources, build_directory=str(folder), extra_cflags=["-O1", "-DTORCH_113"]
    )


def theirs(natten, parts: list[Tensor], slope: Tensor, dilation: int) -> list[Tensor]:
    """Return NATTEN's output and, for the gradient of the output, its gradients."""
    query, key, value, bias = parts
    scale = query.shape[-1] ** -0.5
    query, key, value, slope = (
        part.permute(0, 3, 1, 2, 4).contiguous() for part in (query * scale, key, value, slope)
    )
    weights = natten.logits(query, key, bias, dilation).softmax(-1)
    out = natten.mix(weights, value, dilation)
    to_weights, to_value = natten.mix_backward(slope, weights, value, dilation)
    to_logits = weights * (to_weights - (weights * to_weights).sum(-1, keepdim=True))
    to_query, to_key, to_bias = natten.logits_backward(to_logits, query, key, dilation)
    maps = [part.permute(0, 2, 3, 1, 4) for part in (out, to_query * scale, to_key, to_value)]
    return [*maps, to_bias]


def main(natten: Path) -> None:
    """Compare output and gradients on maps of many sizes, and print the maximum differences."""
    torch.manual_seed(0)
    worst, count = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        compiled = build(natten, Path(folder))
        more = [(0, 0), (1, 0), (2, 7), (11, 4), (19, 17), (5, 30)]
        for k, dilation, (down, right) in product((3, 5, 7, 9, 11, 13), (1, 2, 3, 5), more):
            h, w = k * dilation + down, k * dilation + right
            query, key, value, slope = torch.randn(4, 2, h, w, 2, 4, dtype=torch.float64)
            bias = torch.randn(2, 2 * k - 1, 2 * k - 1, dtype=torch.float64)
            parts = [part.requires_grad_() for part in (query, key, value, bias)]
            with torch.no_grad():
                expected = theirs(compiled, parts, slope, dilation)
            for path in (neighborhood_attention_reference, neighborhood_attention_tiles):
                if path is neighborhood_attention_reference and h * w * k * k > 200_000:
                    continue
                out = path(*parts, dilation=dilation)
                found = [out, *torch.autograd.grad(out, parts, slope)]
                for name, ours, other in zip(PARTS, found, expected, strict=True):
                    error = ((ours - other).abs().max() / other.abs().max()).item()
                    entry = (path.__name__, name)
                    worst[entry] = max(worst.get(entry, 0.0), error)
            count += 1
    print(f"{count} maps; greatest difference, of the greatest value; gradients but for the output")
    for (path, name), error in worst.items():
        print(f"{path:34} {name:6} {error:.1e}")
    sys.exit(max(worst.values()) > 1e-12)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
