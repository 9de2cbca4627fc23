"""Check a data folder in AVA's layout."""

from hiera_det.projects.ava.cli.check_data import main

from hiera_det.cli.errors import user_errors

if __name__ == "__main__":
    with user_errors():
        main()
