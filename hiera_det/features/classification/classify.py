"""Classification of files: images, folders of images, videos; probabilities and drawn images come out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from hiera_det.data.paths import drawn_files, find_files, make_output, read_each, write_drawn
from hiera_det.features.classification.classifier import Classifier
from hiera_det.utils.escape import printable
from hiera_det.utils.files import write_json
from hiera_det.utils.visualize import draw_lines

__all__ = ["as_text", "classify"]

logger = logging.getLogger(__name__)

MIN_SIDE = 224  # pixels; smaller images are enlarged, so that the classes can be read


def classify(
    classifier: Classifier, source: str | Path, output: str | Path | None = None, *, top_k: int = 5
) -> list[dict[str, Any]]:
    """Classify an image or all images of a folder; with a classifier of clips, a video or all videos of a folder.

    Args:
        classifier: of images or clips.
        source: a file or a folder. Of a video the clip in the middle is classified.
        output: a folder, which is made, for ``predictions.json`` and each image with its classes drawn in, under its
            own name (or with ``.png`` behind it where OpenCV does not write its format); of a video the clip's middle
            frame, ``<name>.jpg``. None: nothing is written.
        top_k: so many classes of each, the most probable first.

    Returns:
        As in ``predictions.json``: of each file ``file_name`` and ``classes``, a list of ``category_id``, counted from
        0, ``label`` and ``score``, the probability.

    Raises:
        FileNotFoundError: there is no such file, or none of the kind in the folder.
        OSError: the output folder cannot be written to.
        ValueError: the file is of another kind or cannot be read, the output would overwrite the input, or there are
            fewer than ``top_k`` classes. A file of a folder that cannot be read is skipped, with a warning in the log.
    """
    source = Path(source)
    if not 1 <= top_k <= len(classifier.labels):
        raise ValueError(f"the {top_k} most probable classes are wanted; expected 1 to {len(classifier.labels)}")
    kind = "video" if classifier.num_frames else "image"
    try:
        files = find_files(source, kind)
    except ValueError as error:
        raise ValueError(f"{error}; these weights classify {kind}s, name others for another kind") from error
    drawn: dict[Path, Path] = {}
    if output is not None:
        make_output(Path(output), source)
        drawn = dict(zip(files, _targets(files, Path(output), kind), strict=True))

    def classified(path: Path) -> tuple[np.ndarray, list[dict[str, Any]]]:
        pixels = classifier.read(path)
        return pixels, classifier.predict(pixels, top_k=top_k)

    results = []
    for path, (pixels, classes) in read_each(files, classified):
        results.append({"file_name": path.name, "classes": classes})
        if output is not None:
            write_drawn(drawn[path], _drawn(pixels, classes))
    if output is not None:
        write_json(Path(output) / "predictions.json", results)
        logger.info("%d files; images and predictions.json in %s", len(results), output)
    return results


def as_text(results: list[dict[str, Any]]) -> str:
    """The results of :func:`classify` as lines to read."""
    lines = [line for result in results for line in (result["file_name"], *_lines(result["classes"]))]
    return "\n".join(map(printable, lines))


def _lines(classes: list[dict[str, Any]]) -> list[str]:
    return [f"{100 * entry['score']:6.2f}%  {entry['label']} ({entry['category_id']})" for entry in classes]


def _targets(files: list[Path], output: Path, kind: str) -> list[Path]:
    return drawn_files(files, output) if kind == "image" else [output / f"{path.name}.jpg" for path in files]


def _drawn(pixels: np.ndarray, classes: list[dict[str, Any]]) -> np.ndarray:
    frame = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    return draw_lines(frame, _lines(classes), min_side=MIN_SIDE)
