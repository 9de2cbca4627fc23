"""What pyproject.toml cannot say: projects and configs lie beside the package in a checkout, and in it in a wheel."""

from setuptools import find_packages, setup

# "projects/ava/ava" is hiera_det.projects.ava; hiera_det/projects/__init__.py finds it in a checkout.
PROJECTS = {
    f"hiera_det.projects.{name}": f"projects/ava/{name.replace('.', '/')}" for name in find_packages("projects/ava")
}
CONFIGS = {
    "hiera_det.configs": "configs",
    "hiera_det.configs.lazy": "configs/lazy",
    "hiera_det.projects.ava.configs": "projects/ava/configs",
}

setup(
    packages=[*find_packages(include=["hiera_det", "hiera_det.*"]), *PROJECTS, *CONFIGS],
    package_dir={**PROJECTS, **CONFIGS},
    package_data={"hiera_det": ["py.typed"], **{name: ["*.yaml"] for name in CONFIGS}},
)
