"""Fault tests are in a package of helpers, which they import by their place in the repository."""
