"""Check a data folder in AVA's layout."""

from hiera_det.cli.errors import user_errors
from hiera_det.projects.ava.cli.check_data import main

if __name__ == "__main__":
    with user_errors():
        main()
