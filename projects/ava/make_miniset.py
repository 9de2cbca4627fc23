"""Generate the AVA mini-set."""

from hiera_det.cli.errors import user_errors
from hiera_det.projects.ava.cli.make_miniset import main

if __name__ == "__main__":
    with user_errors():
        main()
