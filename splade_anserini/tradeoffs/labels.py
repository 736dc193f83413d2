"""Placement of labels beside points, so that they cover neither points nor one another."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

type Floats = npt.NDArray[np.float64]

_DISTANCES = (0.6, 1.6, 2.8, 4.2)
"""Distances between a label and its point to try, in heights of the label."""

_DIRECTIONS = ((1, -1), (1, 0), (-1, 1), (-1, 0), (0, -1), (0, 1), (1, 1), (-1, -1))
"""Directions to try. The first is below and to the right, because no point of a Pareto front follows there."""

_LEADER_SAMPLES = np.linspace(0, 1, 33)[:, None]
"""Positions on a leader that are checked for what the leader crosses."""


class Box(NamedTuple):
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def contains(self, other: "Box") -> bool:
        """Return whether the other rectangle is inside this one."""
        horizontally = self.left <= other.left and other.right <= self.right
        return horizontally and self.bottom <= other.bottom and other.top <= self.top


class Label(NamedTuple):
    """The point that a label belongs to, and the size of its text."""

    x: float
    y: float
    width: float
    height: float

    def positions(self) -> Iterator[tuple[int, Box]]:
        """Yield boxes for the text around the point, with the penalty for their distance; preferred ones first."""
        half_width, half_height = self.width / 2, self.height / 2
        for penalty, distance in enumerate(_DISTANCES):
            for horizontal, vertical in _DIRECTIONS:
                x = self.x + horizontal * (distance * self.height + half_width)
                y = self.y + vertical * (distance * self.height + half_height) * (0.8 if horizontal else 1)
                yield penalty, Box(x - half_width, y - half_height, x + half_width, y + half_height)

    def leader(self, box: Box) -> Floats:
        """Return points on the line from the label's point to the center of its text, [points, 2]."""
        start, end = np.array([self.x, self.y]), np.array([box.left + box.right, box.bottom + box.top]) / 2
        points: Floats = start + _LEADER_SAMPLES * (end - start)
        return points


def place_labels(
    labels: Sequence[Label], panel: Box, obstacles: Sequence[Box], segments: Sequence[Box]
) -> list[Box | None]:
    """Return a box inside `panel` for the text of each label, or None when there is no room for it.

    No box overlaps an obstacle, another box, or another label's leader. Boxes are preferred that are near, cross no
    segment, and whose leader crosses no obstacle. All coordinates have the same unit; a horizontal or vertical segment
    is a box without height or width.
    """
    obstacle_boxes, segment_boxes = _as_array(obstacles), _as_array(segments)
    texts, leaders = np.empty((0, 4)), np.empty((0, 2))
    boxes: list[Box | None] = []
    for label in labels:
        # A leader starts in the marker of its own point.
        crossable = obstacle_boxes[~_touched(obstacle_boxes, np.array([[label.x, label.y]]))]
        best, least_penalty = None, sys.maxsize
        for distance_penalty, box in label.positions():
            leader = label.leader(box)
            if (
                not panel.contains(box)
                or _overlapping(obstacle_boxes, box).any()
                or _overlapping(texts, box).any()
                or _touched(texts, leader).any()
                or _touched(_as_array([box]), leaders).any()
            ):
                continue
            crossings = int(_overlapping(segment_boxes, box).sum() + _touched(crossable, leader).sum())
            penalty = distance_penalty + crossings
            if penalty < least_penalty:
                best, least_penalty = box, penalty
        if best:
            texts = np.vstack((texts, _as_array([best])))
            leaders = np.vstack((leaders, label.leader(best)))
        boxes.append(best)
    return boxes


def _as_array(boxes: Sequence[Box]) -> Floats:
    """Return the rectangles as rows, [boxes, 4]."""
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _overlapping(boxes: Floats, box: Box) -> npt.NDArray[np.bool_]:
    """Return for each of the rectangles whether it overlaps `box`."""
    left, bottom, right, top = boxes.T
    overlapping: npt.NDArray[np.bool_] = (
        (left < box.right) & (box.left < right) & (bottom < box.top) & (box.bottom < top)
    )
    return overlapping


def _touched(boxes: Floats, points: Floats) -> npt.NDArray[np.bool_]:
    """Return for each of the rectangles whether one of the points is in it."""
    x, y = points[:, :1], points[:, 1:]
    left, bottom, right, top = boxes.T
    inside = (left <= x) & (x <= right) & (bottom <= y) & (y <= top)
    touched: npt.NDArray[np.bool_] = inside.any(axis=0)
    return touched
