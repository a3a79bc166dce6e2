"""Operators in compiled and exported graphs, with equal results."""

import pytest
import torch

from unimask.kernels.deformable_attention import deformable_attention, force_implementation
from unimask.kernels.neighborhood_attention import neighborhood_attention

SHAPES = [(2, 3), (4, 5)]


class Deformable(torch.nn.Module):
    name = "unimask.deformable_attention.default"

    def forward(self, value, centres, offsets, logits):
        return deformable_attention(value, SHAPES, centres, offsets, logits)

    def example(self, dtype=torch.float32):
        steps = torch.randn(2, 7, 2, 3, 2, 4, dtype=dtype).movedim(2, -1)
        logits = torch.randn(2, 7, 3, 2, 4, dtype=dtype)
        value = torch.randn(2, 26, 3, 5, dtype=dtype)
        return [value, torch.rand(7, 2), steps, logits]


class Neighborhood(torch.nn.Module):
    name = "unimask.neighborhood_attention.default"

    def forward(self, query, key, value, bias):
        return neighborhood_attention(query, key, value, bias, dilation=2)

    def example(self, dtype=torch.float32):
        return [*torch.randn(3, 2, 7, 9, 3, 4, dtype=dtype), torch.randn(3, 5, 5, dtype=dtype)]


@pytest.fixture(params=[Deformable, Neighborhood], ids=lambda kind: kind.__name__)
def module(request):
    torch.manual_seed(0)
    return request.param()


def with_gradients(inputs):
    return [part.detach().clone().requires_grad_() for part in inputs]


def operators(graph):
    return {str(node.target) for node in graph.nodes if node.op == "call_function"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_operators_pass_opcheck(dtype):
    value, centres, offsets, logits = Deformable().example(dtype)
    sizes = [side for shape in SHAPES for side in shape]
    arguments = (value, sizes, centres, offsets, logits)
    differentiable = (value, offsets, logits)
    torch.library.opcheck(torch.ops.unimask.deformable_attention.default, arguments)
    for part in differentiable:
        part.requires_grad_()
    torch.library.opcheck(torch.ops.unimask.deformable_attention.default, arguments)
    inputs = (*with_gradients(Neighborhood().example(dtype)), 2)
    torch.library.opcheck(torch.ops.unimask.neighborhood_attention.default, inputs)


@pytest.mark.compile
def test_compilers_trace_one_operator_with_gradients(module):
    graphs = []

    def record_graph(graph, inputs):
        graphs.append(operators(graph.graph))
        return graph.forward

    torch._dynamo.reset()
    torch.compile(module, backend=record_graph, fullgraph=True)(*module.example())
    assert graphs == [{module.name}]
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    inputs = module.example()
    results = []
    for function in (module, compiled):
        leaves = with_gradients(inputs)
        out = function(*leaves)
        out.square().sum().backward()
        # The centres have no gradients.
        results.append([out, *(leaf.grad for leaf in leaves if leaf.grad is not None)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_exports_contain_one_operator_or_standard_ones():
    module = Deformable()
    inputs = module.example()
    program = torch.export.export(module, tuple(inputs))
    assert module.name in operators(program.graph)
    torch.testing.assert_close(program.module()(*inputs), module(*inputs))
    with force_implementation("reference"):
        program = torch.export.export(module, tuple(inputs))
    assert not any("unimask" in name for name in operators(program.graph))
    torch.testing.assert_close(program.module()(*inputs), module(*inputs))


def test_exporters_of_standard_operators_get_standard_operators(module, monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    inputs = module.example()
    program = torch.export.export(module, tuple(inputs))
    assert not any("unimask" in name for name in operators(program.graph))
    torch.testing.assert_close(program.module()(*inputs), module(*inputs))
