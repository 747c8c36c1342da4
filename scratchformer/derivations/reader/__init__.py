"""Reads the derivation pages, runs their code, and writes them as a site."""
