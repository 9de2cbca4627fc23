"""Tell classes apart by the vectors of a store."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.probe import main

if __name__ == "__main__":
    with user_errors():
        main()
