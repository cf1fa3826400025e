"""Tools take networks and tables, and say what to pass instead of anything else."""

import numpy as np
import pandas as pd
import pytest

from scdual.grn import RegulatoryNetwork
from scdual.grn._network import check_network
from scdual.tl._as_network import as_network


def test_a_network_is_returned_as_it_is(network: RegulatoryNetwork) -> None:
    assert as_network(network) is network
    assert check_network(network) is network


def test_a_table_becomes_a_network(network: RegulatoryNetwork) -> None:
    pd.testing.assert_frame_equal(as_network(network.to_frame()).to_frame(), network.to_frame())


def test_a_dict_of_networks_is_an_error_that_names_a_group(network: RegulatoryNetwork) -> None:
    with pytest.raises(TypeError, match=r"Found a dict.*such as that of 'NK'"):
        as_network({"NK": network})


def test_a_table_is_an_error_where_a_network_is_needed(network: RegulatoryNetwork) -> None:
    with pytest.raises(TypeError, match=r"Found a DataFrame.*from_frame"):
        check_network(network.to_frame())


def test_anything_else_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"Found a ndarray, expected a RegulatoryNetwork.*`get_regulation`"):
        as_network(np.ones((2, 2)))
