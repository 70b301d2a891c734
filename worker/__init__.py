"""tagstream: labels, clusters and routes text streams."""

__version__ = "0.1.0"
