"""Write symbols on a picture where the names of genes are ids."""

from collections.abc import Iterable

from scdual.grn import RegulatoryNetwork
from scdual.grn._symbols import GeneSymbols


def labelled(network: RegulatoryNetwork, gene_symbols: GeneSymbols | None) -> RegulatoryNetwork:
    """Return the network as it is drawn: with its names, or with symbols in place of them."""
    return network if gene_symbols is None else network.with_symbols(gene_symbols)


def labels_of(regulators: Iterable[str], network: RegulatoryNetwork, shown: RegulatoryNetwork) -> list[str]:
    """Return the regulators as they are drawn, whether they are given by name or as drawn."""
    label = dict(zip(network.regulators, shown.regulators, strict=True))
    return [label.get(name, name) for name in regulators]
