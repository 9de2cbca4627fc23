"""The LazyConfigs: the models of the YAML files, and they train with detectron2's own parts."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip(
    "detectron2",
    reason="needs detectron2: https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
)
from detectron2.config import LazyConfig, instantiate
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import SimpleTrainer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from omegaconf import ListConfig

from hiera_det.config import load_config
from hiera_det.detectron2.trainer import defaults

# A file of configs/lazy, and the YAML file of the same model.
NAMES = {
    "mask_rcnn_hiera_b_100ep": "mask_rcnn_hiera_b",
    "cascade_mask_rcnn_hiera_b_100ep": "cascade_mask_rcnn_hiera_b",
    "mask_rcnn_sam2_1_b_plus_50ep": "mask_rcnn_sam2.1_b_plus",
}
SMALL = [
    "train.device=cpu",
    "model.roi_heads.num_classes=4",
    "model.backbone.square_pad=64",
    *(f"model.backbone.bottom_up.{k}" for k in ("embed_dim=8", "num_heads=1", "stages=[1,1,1,1]", "global_blocks=[2]")),
    *(f"dataloader.train.{k}" for k in ("total_batch_size=2", "num_workers=0", "dataset.names=lazy_shapes")),
    *(f"dataloader.train.mapper.augmentations.1.target_{side}=64" for side in ("height", "width")),
    "dataloader.train.mapper.augmentations.2.crop_size=[64,64]",
]


def lazy(configs, name):
    return LazyConfig.load(str(configs / "lazy" / f"{name}.py"))


@pytest.mark.parametrize("name", NAMES)
def test_the_model_of_the_yaml_file(configs, name):
    overrides = ["MODEL.DEVICE", "meta"]
    with torch.device("meta"):
        expected = build_model(load_config(configs / f"{NAMES[name]}.yaml", overrides, defaults()))
        found = instantiate(lazy(configs, name).model)
    assert {k: v.shape for k, v in found.state_dict().items()} == {k: v.shape for k, v in expected.state_dict().items()}
    for attribute in ("layout", "window_sizes", "global_blocks", "pos_embed_kind"):
        assert getattr(found.backbone.bottom_up, attribute) == getattr(expected.backbone.bottom_up, attribute)
    for part in ("proposal_generator", "roi_heads"):
        assert _settings(getattr(found, part)) == _settings(getattr(expected, part))
    assert found.input_format == expected.input_format == "RGB"
    assert found.backbone.padding_constraints == expected.backbone.padding_constraints


def _settings(module, depth=3):
    """The plain values among the attributes of a module and of what it holds, as one type."""
    found = {}
    for key, value in vars(module).items():
        if isinstance(value, (bool, int, float)):
            found[key] = float(value)
        elif isinstance(value, (str, tuple, list, ListConfig)):
            found[key] = [_settings(v) if hasattr(v, "__dict__") else str(v) for v in value]
        elif depth and hasattr(value, "__dict__") and "detectron2" in type(value).__module__:
            found[key] = _settings(value, depth - 1)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_of_the_yaml_file(configs, name):
    cfg, expected = lazy(configs, name), load_config(configs / f"{NAMES[name]}.yaml")
    solver = expected.SOLVER
    assert (cfg.optimizer.lr, cfg.optimizer.weight_decay) == (solver.BASE_LR, solver.WEIGHT_DECAY)
    assert cfg.train.max_iter == solver.MAX_ITER and cfg.train.amp.enabled
    assert cfg.dataloader.train.total_batch_size == solver.IMS_PER_BATCH
    assert list(cfg.lr_multiplier.scheduler.milestones) == list(solver.STEPS)
    assert cfg.lr_multiplier.scheduler.num_updates == solver.MAX_ITER
    assert cfg.optimizer.params.get("layer_decay", 1.0) == expected.MODEL.HIERA.LAYER_DECAY
    assert cfg.lr_multiplier.warmup_length * solver.MAX_ITER == pytest.approx(solver.WARMUP_ITERS)
    assert expected.MODEL.WEIGHTS.endswith(cfg.train.init_checkpoint.removeprefix("hiera://"))
    mapper, node = cfg.dataloader.train.mapper, expected.INPUT
    assert (mapper.image_format, mapper.instance_mask_format) == (node.FORMAT, node.MASK_FORMAT)
    assert [mapper.augmentations[1].min_scale, mapper.augmentations[1].max_scale] == node.CROP.SIZE
    assert cfg.dataloader.train.dataset.filter_empty == expected.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    assert cfg.model.backbone.bottom_up.drop_path_rate == expected.MODEL.HIERA.DROP_PATH_RATE


@pytest.mark.parametrize(
    "name", [name if "plus" in name else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_training(configs, name, datasets_root):
    """As detectron2's lazyconfig_train_net.py puts the parts together."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    shapes = datasets_root / "shapes"
    json_file = str(shapes / "annotations" / "instances_train.json")
    register_coco_instances("lazy_shapes", {}, json_file, str(shapes / "train"))
    try:
        cfg = LazyConfig.apply_overrides(lazy(configs, name), SMALL)
        model = instantiate(cfg.model).to(cfg.train.device)
        cfg.optimizer.params.model = model
        optimizer = instantiate(cfg.optimizer)
        trainer = SimpleTrainer(model, instantiate(cfg.dataloader.train), optimizer)
        before = model.backbone.bottom_up.blocks[3].mlp.fc1.weight.clone()
        with EventStorage(0):
            for trainer.iter in range(2):
                trainer.run_step()
        assert not torch.equal(model.backbone.bottom_up.blocks[3].mlp.fc1.weight, before)
        assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}
    finally:
        DatasetCatalog.remove("lazy_shapes")
        MetadataCatalog.remove("lazy_shapes")
