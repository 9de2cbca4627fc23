"""The Ray engine, on a cluster of two workers on this machine."""

from __future__ import annotations

import pytest

from hiera_det.config import load_config
from hiera_det.features.config import defaults
from hiera_det.features.run import extract
from hiera_det.features.store.reader import FeatureStore
from hiera_det.inputs.find import find_items

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow  # a cluster takes its time to start


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_the_store_is_that_of_one_process(whole, config, pictures, tmp_path, contents):
    cfg, root = load_config(config, [], defaults()), tmp_path / "f"
    assert extract(cfg, find_items([str(pictures)]), root, engine="ray") == 1
    assert contents(root) == contents(whole)
    (root / "00002.sha256").unlink()  # as a run leaves it that was killed there
    assert not FeatureStore(root).complete
    extract(cfg, find_items([str(pictures)]), root, engine="ray")
    assert contents(root) == contents(whole)
