"""Compute the AVA mAP of a results file."""

from hiera_det.cli.errors import user_errors
from hiera_det.projects.ava.cli.evaluate import main

if __name__ == "__main__":
    with user_errors():
        main()
