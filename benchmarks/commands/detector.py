"""Compare detectors, from an image's pixels to its detections: resizing, network, suppression, pasting of masks."""

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

from benchmarks.candidate import Candidate, Job
from benchmarks.cases import Case
from benchmarks.models.detectors import DETECTORS, autocast, detector_cases
from benchmarks.profiles import module_seconds
from benchmarks.rounds import Settings, run_case
from hiera_det.detection.data.shapes import draw_scene
from hiera_det.detection.model.detectron2_names import to_detectron2
from hiera_det.detection.predictor import DetectionPredictor
from hiera_det.weights.trained import read_trained

__all__ = ["compare_detectors", "detector_candidates"]

BOXES = 1000  # boxes of an image that exceed the score threshold: about 100 are left after suppression
SHARE_STEPS = 3
Detect = Callable[[np.ndarray], dict[str, Tensor]]


def compare_detectors(
    cfg: CfgNode, baselines: Sequence[str], axes: Mapping[str, Sequence[Any]], settings: Settings
) -> Iterator[Case]:
    """Time detectors on an image of 480 x 640 pixels, in every combination of the axes.

    Our detector is what :class:`~hiera_det.detection.predictor.DetectionPredictor` runs. Each detector's score
    threshold is set so that `BOXES` boxes exceed it. With "bf16" all run under autocast. The scores are compared.

    Args:
        cfg: our detector's config; the others have its classes and sizes.
        baselines: names in `DETECTORS`.
        axes: lists of values for each condition: ``size`` (the longer side of the resized image, in pixels; None for
            the config's), ``dtype``, ``threads``.
        settings: rounds, device and profile.

    Raises:
        ValueError: a name or value is unknown.
    """
    for sized, case in detector_cases(cfg, baselines, axes):
        candidates = detector_candidates(sized, ["ours", *baselines], case["dtype"], settings.device)
        yield run_case(candidates, {**case, "size": sized.INPUT.MAX_SIZE_TEST}, settings)


def detector_candidates(cfg: CfgNode, names: Sequence[str], dtype: str, device: str) -> list[Candidate]:
    """Return the detectors of these names for a config that is not frozen."""
    cfg.MODEL.DEVICE = device
    return [
        Candidate(name, DETECTORS[name].package, DETECTORS[name].function, partial(_build, name, cfg, dtype))
        for name in names
    ]


def _build(name: str, cfg: CfgNode, dtype: str) -> Job:
    image = draw_scene(np.random.default_rng(0), 640)[0][:480]  # (480, 640, 3)
    detector = DETECTORS[name].build(cfg)
    make = {"ours": _predictor, "torchvision-resnet50": _torchvision}.get(name, _detectron2)
    model, detect = make(detector, cfg)
    scores = torch.empty(0)

    def step() -> list[Tensor]:
        nonlocal scores
        with torch.no_grad(), autocast(cfg.MODEL.DEVICE, dtype):
            scores = detect(image)["scores"]
        return [nn.functional.pad(scores, (0, cfg.TEST.DETECTIONS_PER_IMAGE - len(scores)))]

    _set_threshold(model, _score_threshold(model, step, background=-1 if make is _detectron2 else 0))

    def details() -> dict[str, float]:
        return {"detections": len(scores), **(_shares(model, step, cfg.MODEL.DEVICE) if name == "ours" else {})}

    return Job(step, counted=step, details=details)


# --- from pixels to detections, as the users of each package do it


def _predictor(detector: nn.Module, cfg: CfgNode) -> tuple[nn.Module, Detect]:
    with tempfile.TemporaryDirectory() as folder:
        cfg.MODEL.WEIGHTS = str(Path(folder) / "model.pth")
        torch.save({"model": to_detectron2(detector.state_dict())}, cfg.MODEL.WEIGHTS)
        predictor = DetectionPredictor(read_trained(cfg.MODEL.WEIGHTS), cfg, cfg.MODEL.DEVICE)

    def detect(image: np.ndarray) -> dict[str, Tensor]:
        found = predictor.predict(image)
        found.masks  # noqa: B018  # pastes them, as the others do
        return {"scores": found.scores}

    return predictor.model, detect


def _detectron2(detector: nn.Module, cfg: CfgNode) -> tuple[nn.Module, Detect]:
    """Do what detectron2's ``DefaultPredictor`` does."""
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
    """Do what torchvision's tutorials do: masks are probabilities, cut at one half."""
    model = detector.to(cfg.MODEL.DEVICE).eval()

    def detect(image: np.ndarray) -> dict[str, Tensor]:
        pixels = torch.from_numpy(image).permute(2, 0, 1).to(cfg.MODEL.DEVICE).float() / 255  # (3, H, W)
        found = model([pixels])[0]
        if "masks" in found:
            found["masks"] = found["masks"] > 0.5
        return {name: value.cpu() for name, value in found.items()}

    return model, detect


# --- a score threshold, so that random weights give as many detections as trained ones


def _box_predictors(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose first outputs are RoIs' class logits: one, or one for each stage of a cascade."""
    predictor = model.get_submodule("roi_heads.box_predictor")
    return list(predictor) if isinstance(predictor, nn.ModuleList) else [predictor]


def _score_threshold(model: nn.Module, detect: Callable[[], object], background: int) -> float:
    """Return the score that `BOXES` boxes have or exceed; `background` is that class's index."""
    logits: list[Tensor] = []
    with _box_predictors(model)[-1].register_forward_hook(lambda _, __, out: logits.append(out[0].float())):
        detect()
    scores = torch.cat(logits).softmax(dim=1)
    scores[:, background] = 0
    return float(scores.flatten().topk(min(BOXES, scores.numel())).values[-1])


def _set_threshold(model: nn.Module, threshold: float) -> None:
    heads: Any = model.roi_heads
    if hasattr(heads, "score_thresh"):
        heads.score_thresh = threshold
    else:
        for predictor in _box_predictors(model):
            vars(predictor)["test_score_thresh"] = threshold


def _shares(model: nn.Module, step: Callable[[], object], device: str) -> dict[str, float]:
    """Measure the shares of our detector's parts in its time."""
    names = {"model": "", "normalise": "batching", "maps": "backbone", "backbone": "backbone.bottom_up", "rpn": "rpn"}
    modules = {part: model.get_submodule(name) for part, name in (names | {"heads": "roi_heads"}).items()}
    seconds = module_seconds(modules, step, SHARE_STEPS, device)
    inside = sum(seconds[part] for part in ("normalise", "maps", "rpn", "heads"))
    parts = {
        "resize and pasting": seconds["total"] - seconds["model"],
        "normalise": seconds["normalise"],
        "backbone": seconds["backbone"],
        "pyramid, RPN and NMS": seconds["maps"] - seconds["backbone"] + seconds["rpn"],
        "RoI heads": seconds["heads"] + seconds["model"] - inside,
    }
    return {f"share of {part}": value / seconds["total"] for part, value in parts.items()}
