"""Mask R-CNN, Hiera-B: the paper's recipe, the model of configs/mask_rcnn_hiera_b.yaml.

With detectron2's own tools/lazyconfig_train_net.py:
    lazyconfig_train_net.py --config-file configs/lazy/mask_rcnn_hiera_b_100ep.py --num-gpus 8
"""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from hiera_det.detectron2 import Detectron2Hiera, build_pyramid

from .common import IMAGE_SIZE, dataloader, lr_multiplier, optimizer, train  # noqa: F401

model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
model.input_format = "RGB"
model.pixel_mean = [123.675, 116.28, 103.53]
model.pixel_std = [58.395, 57.12, 57.375]
model.backbone = L(build_pyramid)(
    bottom_up=L(Detectron2Hiera)(name="hiera_base_224", drop_path_rate=0.2),
    in_features=["res2", "res3", "res4", "res5"],
    out_channels=256,
    norm="LN",
    square_pad=IMAGE_SIZE,
)
# Heads as in ViTDet's recipe.
model.proposal_generator.head.conv_dims = [-1, -1]
model.roi_heads.box_head.update(conv_dims=[256] * 4, fc_dims=[1024], conv_norm="LN")
model.roi_heads.mask_head.conv_norm = "LN"

train.init_checkpoint = "hiera://hiera_base_224.mae_in1k"
train.output_dir = "./output/mask_rcnn_hiera_b_100ep"
