"""What makes the model fast, counted and not timed: kernels, copies, fused attention, syncs, graph breaks.

Bounds follow from the blocks and maps; fewer is fine.
"""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hiera_det import HieraBackbone, build_hiera

BATCH = 3  # what a batch's kernels give has a first side that 3 divides; what is done once for all images has not
STAGES = (1, 1, 2, 1)
SHAPES = {"hiera_tiny_224": (256, 256), "hiera_base_16x224": (4, 256, 256)}  # windows of 16 tokens of 16 pixels tile
# norm, qkv, attention, projection, sum, norm, linear, GELU, linear, sum
KERNELS_OF_BLOCK = 10
KERNELS_OF_POOL = 3  # maxima of queries and residual, and the residual's projection
KERNELS_OF_TAKING = 4  # places in the batch (a range, a product, a sum), and the copy
KERNELS_OF_PLACES = 2  # where a mask is true: it as bytes, and their order
UNFUSED = {"_softmax", "bmm", "baddbmm", "_scaled_dot_product_attention_math", "_scaled_dot_product_fused_attention"}
SYNCS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique2", "_unique2"}
COPIES = {"clone", "copy_", "_to_copy", "cat", "stack", "index", "gather", "index_select", "constant_pad_nd"}
NO_KERNEL = {"_unsafe_view", "lift_fresh", "promote_types"}


class Recorder(TorchDispatchMode):
    """Names of the operators that are no views, with their first inputs and outputs; those that are given a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, object, object]] = []
        self.masked: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if not function.is_view and name not in NO_KERNEL:
            self.calls.append((name, args[0] if args else None, out))
        places = [index for arg in args[1:] for index in (arg if isinstance(arg, list | tuple) else [arg])]
        if "index" in name and any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in places):
            self.masked.append(name)  # places are counted in it, which waits for the device
        return out

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]

    def of_batch(self) -> list[str]:
        """Of those that work on the images of a batch, not on what they share."""
        first = [(name, out[0] if isinstance(out, tuple | list) else out) for name, _, out in self.calls]
        return [name for name, out in first if out.ndim and out.shape[0] % BATCH == 0]


@pytest.fixture(params=[(variant, layout) for variant in SHAPES for layout in ("released", "windowed")], ids="-".join)
def model_and_images(request):
    variant, layout = request.param
    torch.manual_seed(0)
    model = HieraBackbone(variant, layout=layout, embed_dim=8, num_heads=1, stages=STAGES, global_blocks=(3,))
    return model.eval(), channels_last(variant)


def channels_last(variant: str) -> Tensor:
    x = torch.randn(BATCH, 3, *SHAPES[variant])
    return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)


def record(model, x, *, grad):
    with torch.set_grad_enabled(grad), Recorder() as recorder:
        model(x)
    return recorder


def test_one_attention_kernel_in_each_block(model_and_images):
    model, x = model_and_images
    recorder = record(model, x, grad=True)
    attention = [(name, query) for name, query, _ in recorder.calls if "scaled_dot_product" in name]
    assert len(attention) == len(model.blocks)
    assert all(query.ndim == 4 for _, query in attention)
    assert all("flash" in name for name, _ in attention)  # the CPU's fused kernel


@pytest.mark.parametrize("grad", [True, False], ids=["graph", "inference"])
def test_nothing_unfused_and_no_sync(model_and_images, grad):
    names = set(record(*model_and_images, grad=grad).names())
    assert not names & UNFUSED
    assert not names & SYNCS


def test_inference_makes_no_product_on_top_of_copied_biases(model_and_images):
    names = record(*model_and_images, grad=False).names()
    assert "mm" in names
    assert not {"addmm", "baddbmm"} & set(names)


def test_a_copy_for_the_unroll_and_one_for_each_map(model_and_images):
    model, x = model_and_images
    copies = [name for name in record(model, x, grad=True).of_batch() if name in COPIES]
    assert len(copies) <= 1 + len(model.out_features)


def test_kernels_of_a_block(model_and_images):
    model, x = model_and_images
    kernels = [name for name in record(model, x, grad=True).of_batch() if name not in COPIES]
    pools = sum(model.block_pools)
    embedding = 2  # convolution, sum with the position embedding
    assert len(kernels) <= embedding + KERNELS_OF_BLOCK * len(model.blocks) + KERNELS_OF_POOL * pools


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how memory is kept is glibc's")
def test_memory_is_not_fetched_again():
    """In a process of its own: others' large tensors would change what is kept."""
    count = """if True:
        import resource, torch
        from hiera_det import HieraBackbone
        model, x = HieraBackbone("hiera_base_224", layout="released").eval(), torch.randn(1, 3, 320, 320)
        faults = []
        with torch.no_grad():
            for _ in range(8):  # the heap settles within six
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                model(x)
                faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        print(faults[-1])
    """
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000


@pytest.mark.gpu
@pytest.mark.parametrize("grad", [True, False], ids=["graph", "inference"])
def test_a_gpu_is_not_waited_for(model_and_images, grad):
    model, x = (part.cuda() for part in model_and_images)
    with torch.set_grad_enabled(grad):
        model(x)  # kernels are loaded
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(x)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_one_graph(model_and_images):
    model, x = model_and_images
    torch._dynamo.reset()
    with torch.no_grad():
        expected = model(x)
        found = torch.compile(model, backend="eager", fullgraph=True)(x)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


# --- the masked autoencoder


@pytest.fixture(params=SHAPES)
def autoencoder_and_images(request):
    torch.manual_seed(0)
    size = SHAPES[request.param]
    decoder = {"decoder_embed_dim": 16, "decoder_depth": 2, "decoder_num_heads": 2}
    model = build_hiera(f"mae_{request.param}", embed_dim=8, num_heads=1, stages=STAGES, input_size=size, **decoder)
    return model, channels_last(request.param)


def test_attention_of_an_autoencoder_is_fused_and_of_kept_tokens_alone(autoencoder_and_images):
    """In the encoder of those of kept mask units; in the decoder's last block, of what is predicted."""
    model, x = autoencoder_and_images
    with Recorder() as recorder:
        loss, pred, _, mask = model(x)
    attention = [(name, query) for name, query, _ in recorder.calls if "scaled_dot_product" in name]
    assert all("flash" in name for name, _ in attention)  # the CPU's fused kernel
    in_unit = [64, 16, 4, 4, 4]  # tokens of a mask unit behind the pool of each block
    kept, units = int(mask[0].sum()), mask.shape[1]
    assert 0 < kept < units / 2
    tokens = [BATCH * kept * n for n in in_unit] + [BATCH * units * 4, len(pred)]
    assert [query.shape[0] * query.shape[2] for _, query in attention] == tokens
    with Recorder() as backward:
        loss.backward()
    assert sum("scaled_dot_product" in name and "flash" in name for name in backward.names()) == len(tokens)


@pytest.mark.parametrize("grad", [True, False], ids=["graph", "inference"])
def test_nothing_of_an_autoencoder_is_unfused_or_picked_by_a_mask(autoencoder_and_images, grad):
    model, x = autoencoder_and_images
    with torch.set_grad_enabled(grad), Recorder() as recorder:
        loss, *_ = model.train(grad)(x)
        if grad:
            loss.backward()
    assert not set(recorder.names()) & (UNFUSED | SYNCS)
    assert not recorder.masked


def test_kernels_of_an_autoencoder(autoencoder_and_images):
    model, x = autoencoder_and_images
    with Recorder() as recorder:
        model(x)
    dims, pools = x.ndim - 2, sum(model.block_pools)
    parts = {
        "a mask is drawn: numbers, two sorts, a comparison": 4,
        "dropped tokens: the mask turned round, repeated along each side": 1 + dims + KERNELS_OF_PLACES,
        "pixels are hidden: a zero, the choice": 2,
        "embedding: convolution, sum with the positions, unroll; of a clip the positions' own sum": 3 + (dims == 3),
        "kept tokens": KERNELS_OF_PLACES + KERNELS_OF_TAKING,
        "blocks": KERNELS_OF_BLOCK * (len(model.blocks) + len(model.decoder_blocks)),
        "pools, and the residual's projection where channels change without one": KERNELS_OF_POOL * pools + 1,
        "maps: put in space, convolutions, sums": 3 * pools + 1,
        "norm, and the decoder's embedding": 2,
        "kept tokens in their places, among those of the mask": KERNELS_OF_PLACES + KERNELS_OF_TAKING,
        "the decoder's positions: in the order of mask units, and the sum": 2,
        "what is predicted, in that order: a range, in space, the dropped ones": 3,
        "residual and queries of what is predicted": 2 * KERNELS_OF_TAKING,
        "norm, predictions": 2,
        "labels: by token, the dropped ones": 1 + KERNELS_OF_TAKING,
        "labels normalised: moments, their epsilon, root, difference, quotient": 5,
        "loss: difference, square, mean": 3,
    }
    assert len(recorder.calls) <= sum(parts.values())


@pytest.mark.gpu
def test_an_autoencoder_does_not_wait_for_a_gpu(autoencoder_and_images):
    model, x = (part.cuda() for part in autoencoder_and_images)
    model(x)[0].backward()  # kernels are loaded
    torch.cuda.set_sync_debug_mode("error")
    try:
        model(x)[0].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
