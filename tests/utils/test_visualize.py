from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from hiera_det.utils.visualize import draw_instances, draw_lines, side_by_side, write_image

GREY = np.full((100, 120, 3), 128, np.uint8)


def instances(**more) -> dict:
    return {"boxes": torch.tensor([[30.0, 40.0, 80.0, 90.0]]), "labels": torch.tensor([1]), **more}


def changed(drawn: np.ndarray, image: np.ndarray = GREY) -> np.ndarray:
    return (drawn != image).any(axis=2)


def test_box_and_label():
    drawn = draw_instances(GREY, instances(scores=torch.tensor([0.75])), ["cat"])
    touched = changed(drawn)
    for y, x in ((40, 60), (90, 60), (60, 30), (60, 80)):  # a point on each edge
        assert touched[y, x]
    assert not touched[50:85, 40:75].any()  # inside, there is no mask
    assert not touched[95:].any()
    assert touched[30:38, 32:45].any()  # the label above the box
    assert (GREY == 128).all()


def test_labels_without_a_name_are_numbers():
    named = draw_instances(GREY, instances(), ["1"])
    assert np.array_equal(draw_instances(GREY, instances(), []), named)


def test_mask_is_blended_in_the_colour_of_the_class():
    mask = np.zeros((1, 100, 120), bool)
    mask[0, 50:80, 40:70] = True
    drawn = draw_instances(GREY, instances(masks=torch.from_numpy(mask)))
    assert changed(drawn)[55:75, 45:65].all()
    assert not changed(drawn)[82:88, 40:70].any()
    other = draw_instances(GREY, instances(masks=torch.from_numpy(mask)) | {"labels": torch.tensor([2])})
    assert (other[60, 60] != drawn[60, 60]).any()


def test_polygons_are_drawn_as_masks_are():
    square = torch.tensor([[40.0, 50.0], [69.0, 50.0], [69.0, 79.0], [40.0, 79.0]])
    mask = torch.zeros(1, 100, 120, dtype=torch.uint8)
    mask[0, 50:80, 40:70] = 1
    polygons = draw_instances(GREY, instances(polygons=[[square]]))
    assert np.array_equal(polygons, draw_instances(GREY, instances(masks=mask)))


def test_nothing_to_draw():
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    assert np.array_equal(draw_instances(GREY, empty | {"masks": torch.zeros(0, 100, 120)}), GREY)


def test_box_partly_outside_and_label_at_the_border():
    box = torch.tensor([[-20.0, -10.0, 200.0, 150.0], [100.0, 2.0, 119.0, 20.0]])
    drawn = draw_instances(GREY, {"boxes": box, "labels": torch.tensor([1, 2])}, ["a rather long name", "another"])
    assert drawn.shape == GREY.shape


def test_small_images_are_enlarged():
    drawn = draw_instances(GREY, instances(), min_side=250)
    assert drawn.shape == (300, 360, 3)
    assert changed(drawn, np.full((300, 360, 3), 128, np.uint8))[120, 180]  # the upper edge at 3 x 40


def test_side_by_side():
    image = side_by_side([GREY, GREY + 1], ["left", "right"])
    assert (image[-100:, :120] == 128).all()
    assert (image[-100:, -120:] == 129).all()
    assert image[:20, :60].min() < 100  # the title


def test_written_images_keep_their_colours(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    write_image(tmp_path / "red.png", image)
    assert cv2.imread(str(tmp_path / "red.png"))[0, 0].tolist() == [0, 0, 200]  # BGR
    assert [path.name for path in tmp_path.iterdir()] == ["red.png"]
    with pytest.raises(ValueError, match=r"cannot write an image as '\.xyz'"):
        write_image(tmp_path / "red.xyz", image)


def test_lines_below_one_another():
    image = np.full((100, 200, 3), 7, np.uint8)
    one, two = (draw_lines(image, ["first", "second, longer"][:count]) for count in (1, 2))
    rows, columns = (one != two).any(axis=2).nonzero()
    first_rows, _ = (one != image).any(axis=2).nonzero()
    assert first_rows.min() <= 1 and rows.min() >= first_rows.max() and rows.max() < 60
    assert columns.min() == 0
    assert (image == 7).all()
    assert draw_lines(image, ["too long " * 20, *["x"] * 20], min_side=300).shape == (300, 600, 3)
