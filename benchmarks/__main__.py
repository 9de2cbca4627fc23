"""``python -m benchmarks``, in a checkout."""

from benchmarks.cli import main

if __name__ == "__main__":
    main()
