"""Cascade Mask R-CNN, Hiera-B: the model of configs/cascade_mask_rcnn_hiera_b.yaml.

With detectron2's own tools/lazyconfig_train_net.py:
    lazyconfig_train_net.py --config-file configs/lazy/cascade_mask_rcnn_hiera_b_100ep.py --num-gpus 8
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import CascadeROIHeads, FastRCNNOutputLayers

from .mask_rcnn_hiera_b_100ep import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

box_head = model.roi_heads.pop("box_head")
for key in ("box_predictor", "proposal_matcher"):
    model.roi_heads.pop(key)
model.roi_heads.update(
    _target_=CascadeROIHeads,
    box_heads=[box_head] * 3,
    box_predictors=[
        L(FastRCNNOutputLayers)(
            input_shape=ShapeSpec(channels=1024),
            test_score_thresh=0.05,
            box2box_transform=L(Box2BoxTransform)(weights=(xy, xy, wh, wh)),
            cls_agnostic_bbox_reg=True,
            num_classes="${...num_classes}",
        )
        for xy, wh in ((10, 5), (20, 10), (30, 15))
    ],
    proposal_matchers=[
        L(Matcher)(thresholds=[iou], labels=[0, 1], allow_low_quality_matches=False) for iou in (0.5, 0.6, 0.7)
    ],
)
train.output_dir = "./output/cascade_mask_rcnn_hiera_b_100ep"
