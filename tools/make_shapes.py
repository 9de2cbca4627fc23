"""Generate the "shapes" dataset."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.make_shapes import main

if __name__ == "__main__":
    with user_errors():
        main()
