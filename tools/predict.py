"""Detect on, or classify, images and videos."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.predict import main

if __name__ == "__main__":
    with user_errors():
        main()
