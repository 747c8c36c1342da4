"""Parses the LaTeX of a page, binds its names to the arrays of the page, evaluates every member and compares them."""
