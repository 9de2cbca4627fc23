"""Mask R-CNN on SAM 2.1's image encoder, Hiera-B+: the model and the recipe of configs/mask_rcnn_sam2.1_b_plus.yaml.

With detectron2's own tools/lazyconfig_train_net.py:
    lazyconfig_train_net.py --config-file configs/lazy/mask_rcnn_sam2_1_b_plus_50ep.py --num-gpus 8
The weights are under Apache-2.0. The recipe has not been run; configs/base_sam2.yaml says where it is from.
"""

from .mask_rcnn_hiera_b_100ep import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.backbone.bottom_up.update(
    name="hiera_base_plus_224",
    window_sizes=(8, 4, 14, 7),
    pos_embed_size=(14, 14),
    drop_path_rate=0.2,
)

train.init_checkpoint = "hiera://sam2.1_hiera_base_plus"
train.output_dir = "./output/mask_rcnn_sam2_1_b_plus_50ep"
train.max_iter = 92187
lr_multiplier.scheduler.update(milestones=[81944, 88773], num_updates=train.max_iter)
lr_multiplier.warmup_length = 250 / train.max_iter
optimizer.lr = 1e-4
optimizer.params.layer_decay = 0.9
