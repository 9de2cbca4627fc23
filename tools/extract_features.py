"""Extract features of a frozen Hiera into a store."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.extract import main

if __name__ == "__main__":
    with user_errors():
        main()
