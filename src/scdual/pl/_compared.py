"""Check what the pictures of a comparison of conditions are given."""

from scdual._checks import check_share, check_type, check_whole
from scdual._installed import check_installed
from scdual.grn._comparison import ConditionComparison
from scdual.grn._symbols import GeneSymbols
from scdual.pl._axes import check_axes


def one_comparison(
    comparison: ConditionComparison,
    group: str | None,
    condition: str | None,
    *,
    fdr: float,
    n: tuple[str, int, int],
    gene_symbols: GeneSymbols | None,
    ax: object,
    packages: tuple[str, ...] = ("matplotlib",),
) -> ConditionComparison:
    """Return the comparison of one group and one condition, with its genes named as they are drawn.

    Parameters
    ----------
    comparison, group, condition, fdr, gene_symbols, ax
        What a picture was given.
    n
        A number it was given: its name, its value and the least it may be.
    packages
        What the picture needs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, there are several comparisons and none is named, or no
        gene has a symbol.
    ModuleNotFoundError
        If a package is not installed.
    """
    check_installed(*packages)
    check_type("comparison", comparison, ConditionComparison, advice="Pass what `compare_conditions` returns.")
    check_share("fdr", fdr)
    name, value, least = n
    check_whole(name, value, at_least=least)
    check_axes(ax)
    one = comparison.select(group, condition)
    return one if gene_symbols is None else one.with_symbols(gene_symbols)
