"""Dreamreel: a batch renderer for dream films."""

__version__ = "0.1.0"
