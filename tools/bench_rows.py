"""The rows that a benchmark prints."""

__all__ = ("show",)


def show(name: str, ratio: float, aim: str, detail: str) -> None:
    """Print a measured ratio beside its aim."""
    print(f"{name:24} {ratio:7.2f}   aim {aim:8} {detail}", flush=True)
