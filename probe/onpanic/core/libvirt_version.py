"""Versions as libvirt's API reports them: as one number."""

__all__ = ("version_name",)


def version_name(number: int) -> str:
    """Return a version of libvirt, or of its hypervisor: ``9.0.0`` for 9,000,000."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
