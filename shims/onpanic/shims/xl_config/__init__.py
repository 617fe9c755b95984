"""Configuration files of ``xl``, Xen's own toolstack, whose crash action is a policy."""
