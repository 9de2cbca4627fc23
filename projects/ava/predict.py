"""Show the actions of persons in a video."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.predict import main

if __name__ == "__main__":
    with user_errors():
        main()
