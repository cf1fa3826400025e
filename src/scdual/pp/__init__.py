"""Prepare counts for a model."""

from scdual.pp._select_genes import select_genes

__all__ = ["select_genes"]
