"""Find the most similar items of a store."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.search import main

if __name__ == "__main__":
    with user_errors():
        main()
