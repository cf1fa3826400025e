"""A prior table becomes matrices of target by regulator, aligned by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scdual.data._prior import PriorNetwork, align_prior, prior_table

GENES = ["A", "B", "C", "D"]
REGULATORS = np.array([0, 2])  # A and C


def make_prior(*edges: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(edges), columns=["source", "target", "weight"][: len(edges[0])])


def loop_reference(prior: pd.DataFrame, genes: list[str], regulators: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return strength and sign by looking up each name, one edge after the other."""
    strength = np.zeros((len(genes), len(regulators)))
    sign = np.zeros_like(strength)
    largest = max(abs(weight) for weight in prior["weight"])
    for source, target, weight in prior.itertuples(index=False):
        if source in regulators and target in genes and source != target:
            cell = genes.index(target), regulators.index(source)
            strength[cell] = abs(weight) / largest
            sign[cell] = 1 if weight > 0 else -1
    return strength, sign


def test_rows_are_targets_and_columns_regulators() -> None:
    network = align_prior(make_prior(("A", "B", 2.0), ("C", "D", -1.0)), GENES, REGULATORS)
    np.testing.assert_array_equal(network.strength, [[0, 0], [1, 0], [0, 0], [0, 0.5]])
    np.testing.assert_array_equal(network.sign, [[0, 0], [1, 0], [0, 0], [0, -1]])
    assert network.strength.dtype == network.sign.dtype == np.float32
    assert network.n_used == 2


@pytest.mark.filterwarnings("ignore:.*edges of the prior are used")
def test_agrees_with_a_loop_for_shuffled_and_missing_genes() -> None:
    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(12)]
    pairs = [(source, target) for source in names for target in names if rng.random() < 0.4]
    prior = make_prior(*[(source, target, float(rng.normal())) for source, target in pairs])
    genes = [names[i] for i in rng.permutation(12)[:8]]
    index = np.array([1, 4, 6])
    network = align_prior(prior, genes, index)
    strength, sign = loop_reference(prior, genes, [genes[i] for i in index])
    np.testing.assert_allclose(network.strength, strength, rtol=1e-6)
    np.testing.assert_array_equal(network.sign, sign)


def test_without_weights_the_sign_is_unknown() -> None:
    network = align_prior(make_prior(("A", "B"), ("C", "B")), GENES, REGULATORS)
    assert network.strength.sum() == 2
    assert not network.sign.any()


@pytest.mark.parametrize(
    "columns",
    [{"sign": [1, -1]}, {"mor": [1.0, -1.0]}, {"weight": [3, 3], "sign": [1, -1]}, {"sign": ["up", "down"]}],
    ids=str,
)
def test_signs_count_in_whatever_column_they_stand(columns: dict) -> None:
    prior = make_prior(("A", "B"), ("C", "D")).assign(**columns)
    network = align_prior(prior, GENES, REGULATORS)
    np.testing.assert_array_equal(network.strength, [[0, 0], [1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(network.sign, [[0, 0], [1, 0], [0, 0], [0, -1]])


def test_importance_is_a_strength_without_a_sign() -> None:
    prior = pd.DataFrame({"TF": ["A", "C"], "target": ["B", "D"], "importance": [8.0, 2.0]})
    network = align_prior(prior, GENES, REGULATORS)
    np.testing.assert_array_equal(network.strength, [[0, 0], [1, 0], [0, 0], [0, 0.25]])
    assert not network.sign.any()


def test_a_file_gives_the_same_as_its_table(tmp_path: Path) -> None:
    prior = make_prior(("A", "B", 2.0), ("C", "D", -1.0))
    prior.to_csv(tmp_path / "prior.csv", index=False)
    one, other = (align_prior(table, GENES, REGULATORS) for table in (prior, tmp_path / "prior.csv"))
    np.testing.assert_array_equal(one.strength, other.strength)
    np.testing.assert_array_equal(one.sign, other.sign)


def test_the_table_of_what_is_used_gives_the_same_network_again() -> None:
    prior = make_prior(("A", "B", 0.3), ("C", "D", 0.1), ("C", "A", 0.2), ("A", "X", 0.7)).assign(sign=[1, 0, -1, 1])
    with pytest.warns(UserWarning, match="3 of 4 edges"):  # the strongest edge is not among them
        first = align_prior(prior, GENES, REGULATORS)
    again = align_prior(prior_table(first, GENES, ["A", "C"]), GENES, REGULATORS)
    np.testing.assert_array_equal(again.strength, first.strength)
    np.testing.assert_array_equal(again.sign, first.sign)
    assert first.strength.max() < 1


ENSEMBL = [f"ENSG0000000000{i}" for i in range(4)]


@pytest.mark.parametrize("versioned", ["genes", "prior"])
def test_ensembl_ids_match_without_their_version(versioned: str) -> None:
    plain = make_prior((ENSEMBL[0], ENSEMBL[1], 2.0), (ENSEMBL[2], ENSEMBL[3], -1.0))
    prior = (
        plain if versioned == "genes" else plain.replace(dict(zip(ENSEMBL, [f"{g}.7" for g in ENSEMBL], strict=True)))
    )
    genes = [f"{gene}.12" for gene in ENSEMBL] if versioned == "genes" else ENSEMBL
    with pytest.warns(UserWarning, match="4 names of the prior are matched without the version"):
        network = align_prior(prior, genes, REGULATORS)
    np.testing.assert_array_equal(network.sign, [[0, 0], [1, 0], [0, 0], [0, -1]])
    assert network.n_used == 2


@pytest.mark.filterwarnings("ignore:.*matched without the version")
def test_two_versions_of_one_edge_are_a_repeat() -> None:
    prior = make_prior((f"{ENSEMBL[0]}.1", ENSEMBL[1]), (f"{ENSEMBL[0]}.2", ENSEMBL[1]))
    with pytest.raises(ValueError, match="1 of 2 edges of the prior have a pair that is repeated"):
        align_prior(prior, ENSEMBL, REGULATORS)


def test_names_of_another_organism_are_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="'Gata1' and 'GATA1' differ in capitals only.*same organism"):
        align_prior(make_prior(("Gata1", "Spi1", 1.0)), ["GATA1", "SPI1"], np.array([0]))


def test_order_of_edges_does_not_matter() -> None:
    prior = make_prior(("A", "B", 2.0), ("C", "D", -1.0), ("C", "A", 0.5))
    one, other = (align_prior(table, GENES, REGULATORS) for table in (prior, prior.iloc[::-1]))
    np.testing.assert_array_equal(one.strength, other.strength)
    np.testing.assert_array_equal(one.sign, other.sign)


def test_strength_does_not_depend_on_which_genes_are_there() -> None:
    prior = make_prior(("A", "B", 1.0), ("C", "D", 4.0))
    with pytest.warns(UserWarning, match="1 of 2 edges"):
        network = align_prior(prior, ["A", "B"], np.array([0]))
    assert network.strength[1, 0] == 0.25


def test_each_edge_left_out_is_counted_once() -> None:
    edges = ("A", "B", 1), ("X", "B", 1), ("X", "Y", 1), ("A", "Y", 1), ("B", "Y", 1), ("B", "A", 1), ("A", "A", 1)
    prior = make_prior(*edges, ("B", "B", 1), ("D", "A", 1))
    with pytest.warns(UserWarning, match="1 of 9 edges .*2 with an unknown source, 2 with an unknown target, 3 from"):
        network = align_prior(prior, GENES, REGULATORS)
    assert counts(network) == {"used": 1, "unknown_source": 2, "unknown_target": 2, "not_regulator": 3, "self": 1}


def counts(network: PriorNetwork) -> dict[str, int]:
    kinds = ("used", "unknown_source", "unknown_target", "not_regulator", "self")
    return {kind: getattr(network, f"n_{kind}") for kind in kinds}


def test_no_usable_edge_shows_both_sides() -> None:
    with pytest.raises(ValueError, match=r"None of the 2 .* 2 with an unknown source.*a -> b.*\['A', 'B', 'C'\]"):
        align_prior(make_prior(("a", "b", 1.0), ("c", "d", 1.0)), GENES, REGULATORS)


def test_empty_prior_is_an_error() -> None:
    for table in (make_prior(("A", "B")), make_prior(("A", "B", 1.0))):
        with pytest.raises(ValueError, match="None of the 0 edges"):
            align_prior(table.iloc[:0], GENES, REGULATORS)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (pd.DataFrame({"factor": ["A"], "target": ["B"]}), r"columns \['factor', 'target'\].*\['source'\] missing"),
        (make_prior(("A", "B", 1.0), ("C", "D", np.nan)), "1 of 2 .*no weight, e.g. .*C -> D"),
        (make_prior(("A", "B", 1.0), ("C", "D", np.inf)), "not finite"),
        (make_prior(("A", "B", 0.0)), "weight of zero"),
        (make_prior(("A", "B", "strong")), "expected numbers"),
        (make_prior(("A", None, 1.0)), "lack a source or target"),
        (make_prior(("A", "B", 1.0), ("A", "B", -1.0)), "1 of 2 edges .* repeated, e.g. .*A -> B"),
    ],
)
def test_unclear_tables_are_errors(prior: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        align_prior(prior, GENES, REGULATORS)


def test_repeated_gene_names_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"more than once in `var_names`: \['A'\]"):
        align_prior(make_prior(("A", "B", 1.0)), ["A", "A", "B"], np.array([0]))


def test_other_types_are_an_error() -> None:
    with pytest.raises(TypeError, match="type list"):
        align_prior([("A", "B", 1.0)], GENES, REGULATORS)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_names_of_any_text_type_are_understood_and_left_unchanged(dtype: str) -> None:
    prior = make_prior(("A", "B", 1), ("C", "D", -3)).astype({"source": dtype, "target": dtype})
    before = prior.copy(deep=True)
    assert align_prior(prior, np.array(GENES), REGULATORS).n_used == 2
    pd.testing.assert_frame_equal(prior, before)
