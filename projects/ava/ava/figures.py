"""Drawn figures that do actions, of which a single frame gives away none but crouching.

A figure faces the camera and is symmetric but for one raised arm, so a walk to the left looks in any one frame like
a walk to the right. Legs apart, a raised arm and the height above the ground are as frequent in those that hold still:
only the motion tells walking, jumping, waving and standing apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["ACTIONS", "Figure", "draw_box", "draw_frame", "make_background", "make_figure"]

ACTIONS = {1: "stand", 2: "crouch", 3: "walk left", 4: "walk right", 5: "jump", 6: "wave"}
_POSTURES = {"stand": 0.2, "crouch": 0.16, "walk left": 0.22, "walk right": 0.22, "jump": 0.2}  # shares
_WAVE_SHARE = 0.35  # of the figures wave, whatever else they do
_RAISED_SHARE = 0.75  # of the other figures hold an arm up
_SUPERSAMPLE = 2  # frames are drawn this much larger and averaged down: anti-aliased edges, motion below a pixel
_SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True)
class Figure:
    """A figure and what it does; lengths in fractions of the picture's side, times in seconds.

    Attributes:
        actions: ids of :data:`ACTIONS`.
        height: of the upright figure.
        foot: (x, y) of the point between the feet, at time 0.
        speed: to the right.
        hop: height of its jumps, 0 for none.
        arm: -1: the left one of the picture is raised; 1: the right one; 0: none.
        rates: cycles per second of steps, jumps and waves; 0: the pose is held.
        phases: of the same, in cycles.
        colours: of trunk, limbs and head, RGB 0-255.
    """

    actions: tuple[int, ...]
    height: float
    foot: tuple[float, float]
    speed: float
    hop: float
    arm: int
    rates: tuple[float, float, float]
    phases: tuple[float, float, float]
    colours: tuple[tuple[float, float, float], ...]

    @property
    def crouches(self) -> bool:
        """Whether it is down on bent knees."""
        return 2 in self.actions


def make_figure(rng: np.random.Generator, across: tuple[float, float], time: float) -> Figure:
    """Draw a figure's looks and actions.

    Args:
        rng: the source of all its random choices.
        across: range of its place across the picture, in fractions of the side.
        time: when it is there, in seconds. Around it a walker is as often on either side.
    """
    posture = list(_POSTURES)[rng.choice(len(_POSTURES), p=list(_POSTURES.values()))]
    waves = rng.random() < _WAVE_SHARE
    raised = waves or rng.random() < _RAISED_SHARE
    direction = {"walk left": -1, "walk right": 1}.get(posture, 0)
    speed = direction * rng.uniform(0.15, 0.25)
    height = rng.uniform(0.38, 0.48)
    hop = rng.uniform(0.16, 0.22) * height if posture == "jump" else 0.0
    rates = (
        rng.uniform(1.0, 1.6) if direction else 0.0,
        rng.uniform(1.2, 1.7) if hop else 0.0,
        rng.uniform(1.2, 1.8) if waves else 0.0,
    )
    ids = {name: number for number, name in ACTIONS.items()}
    return Figure(
        actions=(ids[posture], ids["wave"]) if waves else (ids[posture],),
        height=height,
        foot=(rng.uniform(*across) - speed * time, rng.uniform(0.66, 0.92) + hop / 2),
        speed=speed,
        hop=hop,
        arm=int(rng.choice([-1, 1])) if raised else 0,
        rates=rates,
        phases=tuple(rng.random(3)),
        colours=_colours(rng),
    )


def make_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise of three scales around a muted colour: (size, size, 3) uint8 RGB."""
    picture = np.full((size, size, 3), rng.uniform(80, 170)) + rng.uniform(-20, 20, 3)
    for cells, strength in ((2, 22.0), (5, 16.0), (14, 10.0)):
        coarse = rng.normal(0.0, strength, (cells, cells, 1)) + rng.normal(0.0, strength / 3, (cells, cells, 3))
        picture += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def draw_frame(background: np.ndarray, figures: Sequence[Figure], time: float) -> np.ndarray:
    """Draw figures over a copy of a background (size, size, 3), the first one at the back."""
    size = len(background)
    canvas = cv2.resize(background, None, fx=_SUPERSAMPLE, fy=_SUPERSAMPLE, interpolation=cv2.INTER_LINEAR)
    for figure in figures:
        _draw(canvas, figure, time)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def draw_box(figure: Figure, time: float, size: int) -> np.ndarray:
    """Box around the part of a figure that is in a picture of ``size`` pixels: (4,) xyxy in [0, 1], 0 if none is."""
    canvas = np.zeros((size * _SUPERSAMPLE, size * _SUPERSAMPLE, 3), np.uint8)
    _draw(canvas, figure, time)
    x, y, width, height = cv2.boundingRect(canvas.max(axis=2))
    return np.array([x, y, x + width, y + height]) / len(canvas)


def _colours(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    def colour(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
        pixel = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] * 255
        return float(pixel[0]), float(pixel[1]), float(pixel[2])

    light = rng.random() < 0.5  # than the background
    return (
        colour(rng.uniform(0, 360), rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0)),
        colour(rng.uniform(0, 360), 0.3, rng.uniform(0.85, 1.0)) if light else colour(0, 0.3, rng.uniform(0.0, 0.2)),
        colour(rng.uniform(10, 35), rng.uniform(0.25, 0.6), rng.uniform(0.5, 0.95)),
    )


def _draw(canvas: np.ndarray, figure: Figure, time: float) -> None:
    side = len(canvas)
    step, jump, wave = (2 * np.pi * (r * time + p) for r, p in zip(figure.rates, figure.phases, strict=True))
    ground = figure.foot[1] - (figure.hop * abs(np.sin(jump / 2)) if figure.hop else 0.0)
    foot = np.array([figure.foot[0] + figure.speed * time, ground])
    trunk, limbs, head = figure.colours

    def place(*points: tuple[float, float]) -> np.ndarray:
        """Points (right, up) from the feet in fractions of the height, as OpenCV's coordinates."""
        pixels = (foot + figure.height * np.array(points) * [1, -1]) * side - 0.5  # pixel centres are whole numbers
        return np.round(pixels * 2**_SHIFT).astype(np.int32)

    def line(colour: tuple[float, float, float], thickness: float, *points: tuple[float, float]) -> None:
        width = max(1, round(thickness * figure.height * side))
        cv2.polylines(canvas, [place(*points)], False, colour, width, cv2.LINE_AA, _SHIFT)

    hip = 0.26 if figure.crouches else 0.45
    neck = hip + 0.33
    apart = 0.1 + 0.1 * np.sin(step)  # how far each foot is out
    for leg in (-1, 1):
        if figure.crouches:
            line(limbs, 0.1, (leg * 0.05, hip), (leg * 0.22, 0.21), (leg * (0.08 + apart / 3), 0.0))
        else:
            line(limbs, 0.1, (leg * 0.05, hip), (leg * (0.05 + apart), 0.0))
    line(trunk, 0.22, (0.0, hip + 0.06), (0.0, neck - 0.06))
    for arm in (-1, 1):
        if arm == figure.arm:
            angle = 0.75 * np.sin(wave)  # of the forearm, from upright
            elbow = (arm * 0.29, neck + 0.04)
            hand = (elbow[0] + 0.23 * np.sin(angle), elbow[1] + 0.23 * np.cos(angle))
            line(limbs, 0.08, (arm * 0.1, neck - 0.05), elbow, hand)
        else:
            line(limbs, 0.08, (arm * 0.1, neck - 0.05), (arm * 0.2, neck - 0.2), (arm * 0.2, neck - 0.36))
    radius = round(0.11 * figure.height * side * 2**_SHIFT)
    cv2.circle(canvas, place((0.0, neck + 0.12))[0].tolist(), radius, head, cv2.FILLED, cv2.LINE_AA, _SHIFT)
