"""Every implementation against the reference, and the reference against a loop over samples."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest
import torch

from unimask.errors import SettingsError
from unimask.kernels import rows
from unimask.kernels.deformable_attention import (
    deformable_attention,
    deformable_attention_reference,
    force_implementation,
    gather,
    value_sampler,
)

SHAPES = [(2, 3), (4, 5), (7, 1)]
TRITON = find_spec("triton") is not None
CUDA = torch.cuda.is_available()

TRITON_PATHS = [
    pytest.param(
        ("triton", "cpu"),
        marks=[
            pytest.mark.extra,
            pytest.mark.skipif(not TRITON, reason="needs Triton"),
            *([pytest.mark.gpu, pytest.mark.skip(reason="interprets nothing beside a GPU")] * CUDA),
        ],
    ),
    pytest.param(
        ("triton", "cuda"),
        marks=[pytest.mark.gpu, pytest.mark.skipif(not (CUDA and TRITON), reason="needs a GPU")],
    ),
]


@pytest.fixture(
    params=[("gather", "cpu"), ("reference", "cpu"), (None, "cpu"), *TRITON_PATHS],
    ids=lambda path: f"{path[0]} on {path[1]}",
)
def device(request):
    """Select an implementation, and return its device."""
    name, device = request.param
    with force_implementation(name):
        yield device


@pytest.fixture(params=TRITON_PATHS, ids=lambda path: path[1])
def card(request):
    """Select Triton, and return its device."""
    name, device = request.param
    with force_implementation(name):
        yield device


def example(dtype=torch.float32, images=2, queries=6, heads=2, channels=4, points=3):
    generator = torch.Generator().manual_seed(0)
    positions = sum(h * w for h, w in SHAPES)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    value = draw(images, positions, heads, channels)
    centres = torch.rand(queries, 2, generator=generator, dtype=dtype)
    # Some points are outside, where values are zero.
    offsets = 2 * draw(images, queries, heads, len(SHAPES), points, 2)
    logits = draw(images, queries, heads, len(SHAPES), points)
    return value, centres, offsets, logits


def reference_loop(value, centres, offsets, logits):
    """Compute deformable attention one sample at a time."""
    images, _, heads, channels = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    weights = logits.flatten(3).softmax(-1).view(logits.shape)
    out = torch.zeros(images, queries, heads, channels, dtype=value.dtype)
    for b, q, m, p in torch.cartesian_prod(*map(torch.arange, (images, queries, heads, points))):
        start = 0
        for level, (h, w) in enumerate(SHAPES):
            maps = value[b, start : start + h * w, m].view(h, w, channels)
            x, y = centres[q] * torch.tensor([w, h]) + offsets[b, q, m, level, p] - 0.5
            for i in (int(y.floor()), int(y.floor()) + 1):
                for j in (int(x.floor()), int(x.floor()) + 1):
                    if 0 <= i < h and 0 <= j < w:
                        share = (1 - (y - i).abs()) * (1 - (x - j).abs())
                        out[b, q, m] += weights[b, q, m, level, p] * share * maps[i, j]
            start += h * w
    return out.flatten(2)


def attend(inputs, device="cpu"):
    value, *others = (tensor.to(device) for tensor in inputs)
    return deformable_attention(value, SHAPES, *others).cpu()


def reference(inputs):
    value, *others = inputs
    return deformable_attention_reference(value, SHAPES, *others)


def with_gradients(inputs):
    """Require gradients of all inputs but the centres."""
    value, centres, offsets, logits = inputs
    return [value.requires_grad_(), centres, offsets.requires_grad_(), logits.requires_grad_()]


def gradients(out, inputs):
    return torch.autograd.grad(out, [tensor for tensor in inputs if tensor.requires_grad])


def test_the_reference_is_bilinear_sampling():
    inputs = example(torch.float64)
    torch.testing.assert_close(reference(inputs), reference_loop(*inputs))


def output_and_gradients(function, inputs, *arguments):
    """Return the output, and the gradients of its squared sum."""
    inputs = with_gradients([tensor.detach() for tensor in inputs])
    out = function(inputs, *arguments)
    return out, *gradients(out.square().sum(), inputs)


SIZES = [
    {},
    {"images": 1, "queries": 70, "heads": 3, "channels": 5, "points": 1},
    {"queries": 1, "heads": 1, "channels": 33, "points": 5},
    {"channels": 1, "points": 2},
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_equal_the_definition(device, sizes, dtype):
    inputs = example(dtype, **sizes)
    close = {} if dtype == torch.float64 else {"atol": 1e-5, "rtol": 1e-4}
    results = output_and_gradients(reference, inputs), output_and_gradients(attend, inputs, device)
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, **close)


def test_gradients_pass_gradcheck(device):
    value, centres, offsets, logits = with_gradients(example(torch.float64, 1, 2, 1, 2, 2))
    assert torch.autograd.gradcheck(
        lambda v, x, w: attend((v, centres, x, w), device), (value, offsets, logits)
    )


def test_many_blocks_equal_one_block(monkeypatch):
    inputs = example()
    whole = output_and_gradients(attend, inputs)
    monkeypatch.setattr(gather, "BLOCK", 1)
    monkeypatch.setattr(gather, "BACKWARD_BLOCK", 1)
    for actual, expected in zip(output_and_gradients(attend, inputs), whole, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(device, dtype, autocast):
    inputs = with_gradients(example())
    expected = reference(inputs)
    expected = (expected, *gradients(expected.sum(), inputs))
    value, centres, offsets, logits = inputs
    with torch.autocast(device, dtype=dtype, enabled=autocast):
        actual = attend((value.to(dtype), centres, offsets, logits.to(dtype)), device)
    assert actual.dtype == dtype
    actual = (actual, *gradients(actual.float().sum(), inputs))
    for ours, exact in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours.float(), exact, atol=0.05, rtol=0.03)


def test_points_on_and_beyond_the_edges_have_the_gradients_of_sampling(device):
    """Points in and beside every column, where bilinear sampling is differentiable."""
    w = SHAPES[1][1]
    columns = (torch.arange(-4, w + 4) + 0.3).double()
    x = (columns + 0.5)[None, :, None, None, None].repeat(1, 1, 2, 3, 1)
    offsets = torch.stack([x, torch.full_like(x, 0.6)], dim=-1).requires_grad_()
    value = example(torch.float64, images=1)[0]
    inputs = [value, torch.zeros(len(columns), 2).double(), offsets, torch.ones_like(x)]
    expected, actual = reference(inputs), attend(inputs, device)
    torch.testing.assert_close(actual, expected)
    grads = [torch.autograd.grad(out.cos().sum(), offsets)[0] for out in (actual, expected)]
    torch.testing.assert_close(*grads)
    assert not grads[0][:, [0, -1], :, 1].any()


@pytest.mark.parametrize("far", [1e4, 1e30])
def test_points_far_away_read_zero(device, far):
    value, centres, offsets, logits = example()
    for offset in (far, -far):
        inputs = value, centres, torch.full_like(offsets, offset), logits
        assert not attend(inputs, device).any()


@pytest.mark.parametrize("device", [(None, "cpu"), *TRITON_PATHS], indirect=True)
def test_points_at_infinity_read_zero(device):
    """There `grid_sample` multiplies zero by NaN."""
    value, centres, offsets, logits = example()
    for offset in (float("inf"), -float("inf")):
        inputs = value, centres, torch.full_like(offsets, offset), logits
        assert not attend(inputs, device).any()


def test_attention_survives_large_logits(device):
    value, centres, offsets, logits = example()
    inputs = value, centres, offsets, logits * 1e4
    torch.testing.assert_close(attend(inputs, device), reference(inputs))


def test_nan_locations_affect_only_their_query(device):
    """A diverged step must be detected as not finite and skipped instead of crashing."""
    inputs = example(heads=1)  # with even heads, overflow wraps to row 0
    expected = reference(inputs)
    inputs[2][0, 2, ..., 0] = float("nan")
    inputs = with_gradients(inputs)
    actual = attend(inputs, device)
    assert actual[0, 2].isnan().all()
    torch.testing.assert_close(actual[1], expected[1])
    torch.testing.assert_close(actual[0, 3:], expected[0, 3:])
    actual.sum().backward()
    to_logits = inputs[3].grad
    assert to_logits[0, 2].isnan().all() and to_logits[1].isfinite().all()


def test_inputs_need_not_be_contiguous(device):
    inputs = example()
    expected = output_and_gradients(reference, inputs)
    value, centres, offsets, logits = inputs
    value = value.transpose(2, 3).contiguous().transpose(2, 3)
    planes = offsets.movedim(-1, 0).contiguous().movedim(0, -1)
    transposed = planes.transpose(1, 2).contiguous().transpose(1, 2)
    joined = offsets.movedim(-1, 2).contiguous().movedim(2, -1)
    for steps in (planes, transposed, joined, offsets.transpose(3, 4).contiguous().transpose(3, 4)):
        strided = value, centres, steps, logits.transpose(0, 2).contiguous().transpose(0, 2)
        for actual, reference_value in zip(
            output_and_gradients(attend, strided, device), expected, strict=True
        ):
            torch.testing.assert_close(actual, reference_value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("block", [1, 7, 4096])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_values_may_be_computed_block_by_block(monkeypatch, block, requires_grad):
    monkeypatch.setattr(rows, "BLOCK", block)
    value, *points = example()
    project = torch.nn.Linear(8, 8)
    memory = value.flatten(2)
    with torch.set_grad_enabled(requires_grad):
        actual = value_sampler(project, memory, 2, SHAPES)(*points)
    expected = reference((project(memory).view(value.shape), *points))
    torch.testing.assert_close(actual, expected)


def test_inputs_are_not_modified(device):
    inputs = with_gradients(example())
    copies = [tensor.clone() for tensor in inputs]
    attend(inputs, device).sum().backward()
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor, copy)


def all_equal(results, expected):
    return all(torch.equal(*pair) for pair in zip(results, expected, strict=True))


def test_deterministic_mode_fixes_the_order_of_sums(card):
    inputs = example()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (
            output_and_gradients(attend, inputs, card),
            output_and_gradients(attend, inputs, card),
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert all_equal(first, second)
    for actual, expected in zip(first, output_and_gradients(reference, inputs), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("threads", [1, 3])
def test_cpu_results_are_bitwise_equal_across_threads_and_runs(monkeypatch, threads):
    monkeypatch.setattr(gather, "BLOCK", 40)  # some runs of queries
    monkeypatch.setattr(gather, "BACKWARD_BLOCK", 40)  # some runs of heads
    inputs = example(heads=4, queries=30)
    expected = output_and_gradients(attend, inputs)
    torch.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(4) as pool:
            actual = list(pool.map(lambda _: output_and_gradients(attend, inputs), range(12)))
    finally:
        torch.set_num_threads(1)
    assert all(all_equal(results, expected) for results in actual)


def send(connection):
    connection.send([part.detach().numpy() for part in output_and_gradients(attend, example())])


def test_forked_processes_compute_bitwise_equal_results():
    expected = output_and_gradients(attend, example())
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=send, args=(theirs,))
    process.start()
    assert ours.poll(60), "the forked process hangs"
    actual = [torch.from_numpy(part) for part in ours.recv()]
    process.join()
    assert process.exitcode == 0 and all_equal(actual, expected)


def test_unavailable_code_paths_are_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with (
        pytest.raises(SettingsError, match="choose one of gather, reference, triton"),
        force_implementation("best"),
    ):
        pass
    if not TRITON:
        with (
            pytest.raises(SettingsError, match="pip install triton"),
            force_implementation("triton"),
        ):
            pass
    elif not CUDA:
        with (
            force_implementation("triton"),
            pytest.raises(SettingsError, match="TRITON_INTERPRET=1"),
        ):
            attend(example())
    meta_tensors = [tensor.to("meta") for tensor in example()]
    with (
        force_implementation("gather"),
        pytest.raises(SettingsError, match="on a CPU, not on meta"),
    ):
        deformable_attention(meta_tensors[0], SHAPES, *meta_tensors[1:])


def test_paths_are_valid_only_inside_the_context():
    inputs = example()
    default, expected = attend(inputs), reference(inputs)
    assert not torch.equal(default, expected)
    with force_implementation("reference"):
        assert torch.equal(attend(inputs), expected)
        with force_implementation(None):
            assert torch.equal(attend(inputs), default)
    assert torch.equal(attend(inputs), default)
