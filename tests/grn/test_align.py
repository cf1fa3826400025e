"""Two networks are brought onto the genes they share, by name."""

import numpy as np
import pytest

from scdual.grn import RegulatoryNetwork, align_networks


def by_name(network: RegulatoryNetwork) -> dict[tuple[str, str], float]:
    """Loop over all pairs."""
    return {
        (source, target): float(network.weight[r, t])
        for r, source in enumerate(network.regulators)
        for t, target in enumerate(network.targets)
    }


@pytest.fixture
def networks() -> tuple[RegulatoryNetwork, RegulatoryNetwork]:
    rng = np.random.default_rng(0)
    first = RegulatoryNetwork(rng.normal(size=(3, 4)), list("ABC"), list("wxyz"), "one")
    second = RegulatoryNetwork(rng.normal(size=(3, 4)), list("CDA"), list("zvxw"), "two")
    return first, second


def test_keeps_shared_pairs_with_their_weights(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    aligned = align_networks(*networks)
    shared = by_name(networks[0]).keys() & by_name(networks[1]).keys()
    for before, after in zip(networks, aligned, strict=True):
        assert list(after.regulators) == list("AC")
        assert list(after.targets) == list("wxz")
        assert by_name(after) == {pair: weight for pair, weight in by_name(before).items() if pair in shared}
        assert after.group == before.group


def test_aligned_networks_stay_as_they_are(networks: tuple[RegulatoryNetwork, RegulatoryNetwork]) -> None:
    once = align_networks(*networks)
    for before, after in zip(once, align_networks(*once), strict=True):
        assert by_name(before) == by_name(after)


@pytest.mark.parametrize(
    ("regulators", "targets", "message"),
    [
        pytest.param(["a"], ["w"], r"share 0 regulators and 1 targets.*\['w', 'x', 'y'\]", id="regulators"),
        pytest.param(["A"], ["W"], r"share 1 regulators and 0 targets.*second \['W'\]", id="targets"),
    ],
)
def test_nothing_in_common_is_an_error(
    networks: tuple[RegulatoryNetwork, RegulatoryNetwork], regulators: list, targets: list, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        align_networks(networks[0], RegulatoryNetwork(np.ones((1, 1)), regulators, targets))


@pytest.mark.parametrize("other", [None, {"NK": None}, np.ones((3, 4)), "one"], ids=lambda value: type(value).__name__)
def test_what_is_no_network_is_an_error(networks: tuple[RegulatoryNetwork, RegulatoryNetwork], other: object) -> None:
    for pair in ((networks[0], other), (other, networks[0])):
        with pytest.raises(TypeError, match=f"Found a {type(other).__name__}, expected a RegulatoryNetwork"):
            align_networks(*pair)


def test_names_of_another_organism_are_an_error_that_says_so(
    networks: tuple[RegulatoryNetwork, RegulatoryNetwork],
) -> None:
    first = networks[0]
    other = RegulatoryNetwork(first.weight, list("abc"), list("WXYZ"))
    with pytest.raises(ValueError, match="differ in capitals only"):
        align_networks(first, other)
