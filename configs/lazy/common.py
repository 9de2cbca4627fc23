"""What the LazyConfigs share: data, schedule and optimizer of the Hiera paper's recipe (arXiv 2306.00989, table 15)."""

import torch
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler

from hiera_det.engine.optim import param_groups

IMAGE_SIZE = 1024

dataloader = model_zoo.get_config("common/data/coco.py").dataloader
dataloader.train.dataset.filter_empty = False
dataloader.train.mapper.update(
    augmentations=[
        L(T.RandomFlip)(horizontal=True),
        L(T.ResizeScale)(min_scale=0.1, max_scale=2.0, target_height=IMAGE_SIZE, target_width=IMAGE_SIZE),
        L(T.FixedSizeCrop)(crop_size=(IMAGE_SIZE, IMAGE_SIZE), pad=False),
    ],
    image_format="RGB",
    instance_mask_format="bitmask",
    recompute_boxes=True,
)
dataloader.train.total_batch_size = 64
dataloader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length=IMAGE_SIZE, max_size=IMAGE_SIZE)]

train = model_zoo.get_config("common/train.py").train
train.amp.enabled = True
# 100 epochs = 184375 iterations x 64 images / 118000 images; drops at 88.9 % and 96.3 %, as ViTDet's
train.max_iter = 184375
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[163889, 177546], num_updates=train.max_iter
    ),
    warmup_length=250 / train.max_iter,
    warmup_factor=0.001,
)
optimizer = L(torch.optim.AdamW)(
    params=L(param_groups)(base_lr="${..lr}", weight_decay="${..weight_decay}"),
    lr=3.5e-5,
    weight_decay=0.1,
)
