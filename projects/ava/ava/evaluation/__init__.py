"""Evaluation: detections to AP per action, by the four protocols that "the" AVA mAP stands for."""

from hiera_det.projects.ava.evaluation.evaluator import Result, evaluate
from hiera_det.projects.ava.evaluation.protocols import DEFAULT_PROTOCOL, PROTOCOLS

__all__ = ["DEFAULT_PROTOCOL", "PROTOCOLS", "Result", "evaluate"]
