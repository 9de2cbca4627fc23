"""The detectron2 that this backend needs."""

from __future__ import annotations

__all__ = ["INSTALL_PAGE", "check_detectron2"]

INSTALL_PAGE = "https://detectron2.readthedocs.io/en/latest/tutorials/install.html"


def check_detectron2() -> None:
    """See that detectron2 is there and new enough.

    Its version has been 0.6 since 2021. What is needed came later: ``Backbone.padding_constraints`` (2022).

    Raises:
        ImportError: it is not; the message says how to get it.
    """
    try:
        import detectron2
        from detectron2.modeling import Backbone
    except ModuleNotFoundError as error:
        raise ImportError(
            f"the detectron2 backend needs detectron2 ({error}), which is on no package index; its installation page is"
            f" {INSTALL_PAGE}. Without it: --backend torchvision",
            name="detectron2",
        ) from error
    if not hasattr(Backbone, "padding_constraints"):
        raise ImportError(
            f"this detectron2 ({detectron2.__version__}) is too old: its Backbone has no padding_constraints. Needed "
            f"is 0.6 from the main branch, of 2022 or later, not the wheels of the 0.6 release: {INSTALL_PAGE}."
            " Without it: --backend torchvision",
            name="detectron2",
        )
