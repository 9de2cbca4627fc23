"""Detectors from an image's pixels to its detections: resizing, network, suppression, pasting of masks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from benchmarks.cases import Case, combinations
from benchmarks.contender import DTYPES, Contender, Job, check_names
from benchmarks.detectors import DETECTORS, at_size
from benchmarks.parts import module_seconds
from benchmarks.rounds import run_case
from hiera_det.detection.data.shapes import draw_scene
from hiera_det.detection.model.detectron2_names import to_detectron2
from hiera_det.detection.predictor import Predictor

__all__ = ["compare_detectors", "detector_contenders"]

CANDIDATES = 1000  # boxes of an image that exceed the score threshold: about 100 are left after suppression
PARTS_STEPS = 3
Detect = Callable[[np.ndarray], dict[str, Tensor]]


def compare_detectors(
    cfg: CfgNode,
    peers: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    *,
    device: str,
    rounds: int,
    profile: Path | None = None,
) -> Iterator[Case]:
    """Time detectors on a picture of 480 x 640 pixels, in every combination of the axes.

    The detector of the config is what :class:`~hiera_det.detection.predictor.Predictor` runs. Each detector's
    score threshold is set so that `CANDIDATES` boxes exceed it. With "bf16" all run under autocast. What is compared
    are the scores.

    Args:
        cfg: of our detector; the others have its classes and sizes.
        peers: names in `DETECTORS`.
        axes: lists of values for each condition: ``size`` (the longer side of the resized image, in pixels; None for
            the config's), ``dtype``, ``threads``.
        device: "cpu" or "cuda".
        rounds: counted turns of each detector.
        profile: a folder for a trace of ours; None: it is not profiled.

    Raises:
        ValueError: an unknown name or value.
    """
    check_names("--vs", peers, [name for name in DETECTORS if name != "ours"])
    check_names("--dtype", axes["dtype"], DTYPES)
    for case in combinations(axes):
        yield run_case(
            detector_contenders(cfg, ["ours", *peers], case, device),
            {"variant": cfg.MODEL.HIERA.NAME, **case, "size": case["size"] or cfg.INPUT.MAX_SIZE_TEST},
            device=device,
            threads=case["threads"],
            rounds=rounds,
            product_dtype=case["dtype"],
            profile=profile,
        )


def detector_contenders(cfg: CfgNode, names: Sequence[str], case: Mapping[str, Any], device: str) -> list[Contender]:
    """The detectors of these names under the conditions of a case."""
    cfg = at_size(cfg, case["size"])
    cfg.MODEL.DEVICE = device
    return [
        Contender(name, DETECTORS[name].package, DETECTORS[name].function, partial(_build, name, cfg, case["dtype"]))
        for name in names
    ]


def _build(name: str, cfg: CfgNode, dtype: str) -> Job:
    image = draw_scene(np.random.default_rng(0), 640)[0][:480]  # (480, 640, 3)
    detector = DETECTORS[name].build(cfg)
    make = {"ours": _predictor, "torchvision-resnet50": _torchvision}.get(name, _detectron2)
    model, detect = make(detector, cfg)
    autocast = partial(torch.autocast, cfg.MODEL.DEVICE, DTYPES[dtype], enabled=dtype != "fp32")

    latest: list[Tensor] = []

    def run() -> list[Tensor]:
        with torch.no_grad(), autocast():
            latest[:] = [detect(image)["scores"]]
        return [nn.functional.pad(latest[0], (0, cfg.TEST.DETECTIONS_PER_IMAGE - len(latest[0])))]

    _set_threshold(model, _candidates_threshold(model, run, background=-1 if make is _detectron2 else 0))

    def notes() -> dict[str, float]:
        return {"detections": len(latest[0]), **(_shares(model, run) if name == "ours" else {})}

    return Job(run, counted=run, notes=notes)


# --- from pixels to detections, as each package's users do


def _predictor(detector: nn.Module, cfg: CfgNode) -> tuple[nn.Module, Detect]:
    with tempfile.TemporaryDirectory() as folder:
        cfg.MODEL.WEIGHTS = str(Path(folder) / "model.pth")
        torch.save({"model": to_detectron2(detector.state_dict())}, cfg.MODEL.WEIGHTS)
        predictor = Predictor(cfg)
    return predictor.model, predictor


def _detectron2(detector: nn.Module, cfg: CfgNode) -> tuple[nn.Module, Detect]:
    """What detectron2's ``DefaultPredictor`` does."""
    from detectron2.data.transforms import ResizeShortestEdge

    model = detector.to(cfg.MODEL.DEVICE).eval()
    resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)

    def detect(image: np.ndarray) -> dict[str, Tensor]:
        resized = resize.get_transform(image).apply_image(image).astype("float32").transpose(2, 0, 1)
        height, width = image.shape[:2]
        found = model([{"image": torch.as_tensor(resized), "height": height, "width": width}])[0]["instances"]
        return found.to("cpu").get_fields()

    return model, detect


def _torchvision(detector: nn.Module, cfg: CfgNode) -> tuple[nn.Module, Detect]:
    """As torchvision's tutorials: masks are probabilities, cut at one half."""
    model = detector.to(cfg.MODEL.DEVICE).eval()

    def detect(image: np.ndarray) -> dict[str, Tensor]:
        pixels = torch.from_numpy(image).permute(2, 0, 1).to(cfg.MODEL.DEVICE).float() / 255  # (3, H, W)
        found = model([pixels])[0]
        if "masks" in found:
            found["masks"] = found["masks"] > 0.5
        return {name: value.cpu() for name, value in found.items()}

    return model, detect


# --- as many detections as with trained weights


def _box_predictors(model: nn.Module) -> list[nn.Module]:
    """The modules whose first outputs are RoIs' class logits: one, or one for each stage of a cascade."""
    predictor = model.get_submodule("roi_heads.box_predictor")
    return list(predictor) if isinstance(predictor, nn.ModuleList) else [predictor]


def _candidates_threshold(model: nn.Module, detect: Callable[[], object], background: int) -> float:
    """The score that `CANDIDATES` boxes have or exceed; `background` is the place of that class."""
    seen: list[Tensor] = []
    with _box_predictors(model)[-1].register_forward_hook(lambda _, __, out: seen.append(out[0].float())):
        detect()
    scores = torch.cat(seen).softmax(dim=1)
    scores[:, background] = 0
    return float(scores.flatten().topk(min(CANDIDATES, scores.numel())).values[-1])


def _set_threshold(model: nn.Module, threshold: float) -> None:
    heads: Any = model.roi_heads
    if hasattr(heads, "score_thresh"):
        heads.score_thresh = threshold
    else:
        for predictor in _box_predictors(model):
            vars(predictor)["test_score_thresh"] = threshold


# --- where our time goes


def _shares(model: nn.Module, run: Callable[[], object]) -> dict[str, float]:
    """The shares of our detector's parts in its time."""
    names = {"model": "", "normalise": "batching", "maps": "backbone", "backbone": "backbone.bottom_up", "rpn": "rpn"}
    modules = {part: model.get_submodule(name) for part, name in (names | {"heads": "roi_heads"}).items()}
    seconds = module_seconds(modules, run, PARTS_STEPS)
    inside = sum(seconds[part] for part in ("normalise", "maps", "rpn", "heads"))
    parts = {
        "resize": seconds["total"] - seconds["model"],
        "normalise": seconds["normalise"],
        "backbone": seconds["backbone"],
        "pyramid, RPN and NMS": seconds["maps"] - seconds["backbone"] + seconds["rpn"],
        "RoI heads": seconds["heads"],
        "pasting": seconds["model"] - inside,
    }
    return {f"share of {part}": value / seconds["total"] for part, value in parts.items()}
