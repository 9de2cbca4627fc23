from __future__ import annotations

import torch

from hiera_det.data.maps import stack_maps


def test_stacking():
    one, other = {"res4": torch.ones(2, 3, 4), "res5": torch.ones(5, 2, 2)}, {"res4": torch.full((2, 1, 5), 2.0)}
    other["res5"] = torch.full((5, 1, 3), 2.0)
    stacked = stack_maps([one, other])
    assert stacked["res4"].shape == (2, 2, 3, 5) and stacked["res5"].shape == (2, 5, 2, 3)
    assert stacked["res4"][0, 1].tolist() == [[1, 1, 1, 1, 0]] * 3
    assert stacked["res4"][1, 0].tolist() == [[2] * 5, [0] * 5, [0] * 5]
    wide = stack_maps([one, other], {"res4": (4, 8), "res5": (2, 4)})
    assert wide["res4"].shape == (2, 2, 4, 8) and wide["res4"].sum() == stacked["res4"].sum()
    clips = stack_maps([{"res4": torch.ones(2, 7, 3, 4)}, {"res4": torch.ones(2, 7, 1, 5)}])
    assert clips["res4"].shape == (2, 2, 7, 3, 5)
