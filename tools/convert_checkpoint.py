"""Write the Hiera of a checkpoint in another package's format."""

from hiera_det.cli.convert import main
from hiera_det.cli.errors import user_errors

if __name__ == "__main__":
    with user_errors():
        main()
