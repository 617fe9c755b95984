"""The pictures of the documentation, as SVG files in docs/pictures."""
