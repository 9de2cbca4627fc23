"""Our box coder against torchvision's private one, and that no private name of torchvision is used."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder as Torchvisions

import hiera_det
from hiera_det.detection import model
from hiera_det.detection.model.box_coder import BoxCoder

ROOT = Path(hiera_det.__file__).parents[1]
SOURCES = [path for folder in ("hiera_det", "projects") for path in (ROOT / folder).rglob("*.py")]


def random_boxes(counts: list[int], dtype: torch.dtype, generator: torch.Generator) -> list[torch.Tensor]:
    """Corners up to 1000 pixels, sides from a thousandth of a pixel to hundreds."""
    boxes = []
    for count in counts:
        corner = torch.rand(count, 2, dtype=dtype, generator=generator) * 1000
        sides = 10 ** (torch.rand(count, 2, dtype=dtype, generator=generator) * 6 - 3)
        boxes.append(torch.cat([corner, corner + sides], dim=1))
    return boxes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (30.0, 29.0, 15.0, 0.3)])
@pytest.mark.parametrize("counts", [[1000, 0, 37], [0, 0]])
def test_equal_to_torchvisions_to_the_last_bit(counts, weights, dtype):
    generator = torch.Generator().manual_seed(sum(counts))
    boxes, targets = (random_boxes(counts, dtype, generator) for _ in range(2))
    ours, theirs = BoxCoder(weights), Torchvisions(weights)
    encoded = ours.encode(targets, boxes)
    for got, expected in zip(encoded, theirs.encode(targets, boxes), strict=True):
        assert torch.equal(got, expected)
    deltas = 6 * torch.randn(sum(counts), 3, 4, dtype=dtype, generator=generator)  # some above the clamp
    decoded = ours.decode(deltas, boxes)
    assert torch.equal(decoded, theirs.decode_single(deltas.flatten(1), torch.cat(boxes)).view(-1, 3, 4))
    of_anchors = ours.decode(deltas[:, 0], boxes)
    assert torch.equal(of_anchors[:, 0], theirs.decode_single(deltas[:, 0], torch.cat(boxes)))
    assert of_anchors.shape == (sum(counts), 1, 4)


def test_decoding_gives_back_what_was_encoded():
    generator = torch.Generator().manual_seed(0)
    boxes, targets = (random_boxes([50, 50], torch.float64, generator) for _ in range(2))
    near = [box + 0.1 * (target - box) for box, target in zip(boxes, targets, strict=True)]
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    far = torch.cat([(t[:, 2:] - t[:, :2]) / (b[:, 2:] - b[:, :2]) for t, b in zip(near, boxes, strict=True)]) > 62.5
    decoded = coder.decode(torch.cat(coder.encode(near, boxes)), boxes)[:, 0]
    kept = ~far.any(dim=1)
    assert 10 < kept.sum() < 100
    torch.testing.assert_close(decoded[kept], torch.cat(near)[kept])


def test_no_private_name_of_torchvision_is_imported():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            used = [module + name for name in names if f"{module}{name}".startswith("torchvision.")]
            assert not [name for name in used if "._" in name], path


MODULES = [import_module(f"{model.__name__}.{found.name}") for found in pkgutil.iter_modules(model.__path__)]
DERIVED = {
    cls
    for module in MODULES
    for cls in vars(module).values()
    if isinstance(cls, type) and cls.__module__ == module.__name__ and cls.__base__.__module__.startswith("torchvision")
}


@pytest.mark.parametrize("cls", sorted(DERIVED, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_no_private_member_of_a_class_of_torchvision_is_used_or_replaced(cls):
    theirs = {name for base in cls.__mro__[1:] if base.__module__.startswith("torchvision") for name in vars(base)}
    ours = set(vars(cls)).union(*(f.__code__.co_names for f in vars(cls).values() if hasattr(f, "__code__")))
    private = {name for name in theirs if name.startswith("_") and not name.startswith("__")}
    assert not ours & private
