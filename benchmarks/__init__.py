"""Figures that Dreamreel is held to, each measured by one command; see README.md here."""
