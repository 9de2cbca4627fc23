"""Projects on top of the package: ``hiera_det.projects.ava``, action detection on AVA.

A wheel has them in this folder. In a checkout, which an editable install points to, they lie in
``projects/<name>/<name>``.
"""

from pathlib import Path

_HERE = Path(__file__).parent

if not (_HERE / "ava").is_dir():
    __path__ += [str(folder) for folder in _HERE.parents[1].glob("projects/*") if (folder / folder.name).is_dir()]
