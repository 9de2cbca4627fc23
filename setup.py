"""Packaging of hiera_det. Tool settings (ruff, mypy, pytest) stand in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "hiera_det" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

# Projects lie beside their scripts, "projects/ava/ava"; in a checkout hiera_det/projects/__init__.py finds them there.
PROJECTS = {
    f"hiera_det.projects.{name}": f"{folder}/{name.replace('.', '/')}"
    for folder in ("projects/ava",)
    for name in find_packages(folder)
}
EXTRAS = {
    # Beside detectron2 itself, which is on no package index: with it, detectron2 cuts polygons.
    "detectron2": ["shapely>=2"],
    "ava": ["pandas>=2", "pyarrow>=15", "matplotlib>=3.8", "pytorchvideo>=0.1.5"],
    "features": ["matplotlib>=3.8", "pyarrow>=15", "scikit-learn>=1.5"],
    "cluster": ["ray[data]>=2.40"],
    "test": [
        *("pytest>=8", "shapely>=2", "hiera-transformer==0.1.4", "timm>=1.0.31", "transformers>=5.0"),
        *("wandb>=0.19", "mlflow-skinny>=2.20"),
    ],
}
EXTRAS["dev"] = [
    *(name for extra in ("test", "ava", "features", "cluster") for name in EXTRAS[extra]),
    *("ruff>=0.17,<0.18", "mypy>=2.4,<3"),
]

setup(
    name="hiera_det",
    version=VERSION,
    description="Hiera backbones for object detection, instance segmentation and action detection",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[*find_packages(include=["hiera_det", "hiera_det.*"]), *PROJECTS],
    package_dir=PROJECTS,
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.8",
        "torchvision>=0.23",
        "numpy>=1.26",
        "av>=12",
        "filelock>=3.13",
        "fvcore>=0.1.5.post20221221",
        "huggingface_hub>=1.4",
        "iopath>=0.1.9",
        "lightning>=2.6",
        "opencv-python-headless>=4.10",
        "pillow>=10",
        "pycocotools>=2.0.8",
        "pyyaml>=6",
        "safetensors>=0.4",
        "tensorboard>=2.16",
        "tqdm>=4.66",
    ],
    extras_require=EXTRAS,
)
