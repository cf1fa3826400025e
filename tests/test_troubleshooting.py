"""The page on messages: each of them is in the package, and has a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import scdual

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "troubleshooting.md"
ROOT = Path(scdual.__file__).parent

TEST_OF = {
    "values that are no integers": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "NaN or infinite values": "contract/test_words.py::test_values_on_disk_are_read_before_training",
    "holds negative values": "contract/test_words.py::test_values_on_disk_are_read_before_training",
    "values up to … expected counts": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "All counts in … are 0": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "cells have no counts in": "contract/test_words.py::test_cells_without_counts_are_counted_in_a_warning",
    "is empty; name the layer": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "expected an array or a sparse matrix": "contract/test_words.py::test_a_lazy_array_is_an_error_that_gives_the_conversion",
    "holds values of type": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "names are no text": "contract/test_words.py::test_names_that_are_no_text_are_an_error",
    "gene names occur more than once": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "Cell names of the MuData repeat": "contract/test_words.py::test_repeated_cell_names_of_mudata_are_an_error",
    "has no value for": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "is a view of other data": "contract/test_data_registration.py::test_a_view_cannot_be_registered",
    "expected the name of one column of": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "expected a list of columns": "contract/test_words.py::test_set_up_says_what_is_wrong_and_changes_nothing",
    "The data changed after they were set up": "contract/test_words.py::test_data_that_changed_after_set_up_are_an_error_in_every_use",
    "genes are missing": "contract/test_words.py::test_a_query_says_what_is_wrong_and_changes_nothing",
    "genes are there, but": "data/test_fields.py::test_new_data_need_the_same_genes_in_the_same_order",
    "genes are in another order": "data/test_fields.py::test_new_data_need_the_same_genes_in_the_same_order",
    "unknown to the model": "contract/test_words.py::test_an_unknown_batch_is_an_error_also_if_it_counts_as_false",
    "where the model knows": "contract/test_words.py::test_batches_of_another_type_are_an_error",
    "labels of the new data are unknown": "contract/test_latent_and_expression.py::test_labels_the_model_does_not_know_do_not_matter",
    "has no cells; check how": "contract/test_words.py::test_an_empty_query_is_an_error",
    "has no embedding onto which cells can be mapped": "model/test_train_map.py::test_cells_cannot_be_mapped_onto_a_model_without_embedding",
    "needs a known label of every cell": "model/test_query.py::test_dispersions_of_labels_need_the_label_of_every_cell",
    "expected one of": "test_checks.py::test_a_wrong_choice_gets_the_choices_and_the_nearest",
    "has no argument": "test_arguments.py::test_nonsense_is_named_and_changes_nothing",
    "groups have no map and are left out": "model/test_groups.py::test_a_single_cell_is_left_out_with_a_warning",
    "has groups that read the same": "model/test_groups.py::test_groups_that_read_the_same_are_refused",
    "which is not among the groups of": "model/test_expression.py::test_a_group_is_of_the_type_of_its_column",
    "is a mask of": "model/test_cells.py::test_cells_that_are_not_there",
    "Only one of … can be given": "model/test_cells.py::test_minibatches_leave_nothing_to_choose",
    "but this machine has only": "model/test_training.py::test_an_accelerator_that_this_machine_lacks",
    "needs validation cells": "model/test_training.py::test_early_stopping_without_validation_cells_is_an_error",
    "all that can be monitored falls": "model/test_train_arguments.py::test_what_falls_as_the_model_learns_is_not_maximised",
    "the model is partly trained": "model/test_interruption.py::test_ctrl_c_reaches_the_caller_with_the_number_of_epochs",
    "ended before its first step": "model/test_interruption.py::test_a_training_without_a_step_is_an_error_and_leaves_the_model",
    "interrupted before its first step": "model/test_interruption.py::test_interrupted_before_the_first_step_it_is_not_trained",
    "The ensemble was interrupted": "model/test_interruption.py::test_an_interrupted_ensemble_leaves_the_earlier_one",
    "every device trains a copy of the whole model": "model/test_devices.py::test_what_divides_the_model_or_loses_results_is_refused",
    "on one device; pass": "model/test_ensemble.py::test_a_member_is_trained_on_one_device",
    "random halves of the cells, but": "model/test_ensemble.py::test_one_cell_has_no_halves",
    "Nothing can learn": "model/test_query.py::test_a_query_from_known_batches_has_nothing_to_learn",
    "The datamodule has other … than the model": "model/test_datamodule.py::test_a_datamodule_of_other_cells_is_refused_before_the_first_step",
    "would leave these unread": "model/test_datamodule.py::test_a_model_with_data_takes_no_datamodule",
    "expected a dictionary with the tensors": "model/test_datamodule.py::test_minibatches_before_their_way_to_the_device_are_refused",
    "gives the cells in another order each time": "model/test_minibatches.py::test_loaders_that_cannot_be_read_twice_alike_are_refused",
    "that are in the others": "model/test_annbatch.py::test_files_that_do_not_go_together_are_refused_before_anything_is_written",
    "which gives layers that lie in memory": "model/test_datamodule.py::test_collections_of_anndata_say_what_to_do",
    "of memory, but": "model/test_map_memory.py::test_a_map_that_cannot_be_learnt_leaves_model_and_data_as_they_were",
    "is no whole checkpoint of Lightning": "model/test_checkpoint.py::test_what_does_not_fit_is_refused_before_anything_changes",
    "is of a model with other genes, regulators or sizes": "model/test_checkpoint.py::test_what_does_not_fit_is_refused_before_anything_changes",
    "is of a training on other data": "model/test_checkpoint.py::test_what_does_not_fit_is_refused_before_anything_changes",
    "epochs, but … is": "model/test_checkpoint.py::test_what_does_not_fit_is_refused_before_anything_changes",
    "has no ensemble to merge": "model/test_merge.py::test_what_does_not_belong_together_is_refused",
    "so their ensembles are not of one kind": "model/test_merge.py::test_what_does_not_belong_together_is_refused",
    "of --data holds other cells": "cli/test_merge.py::test_errors_are_one_line_and_change_nothing",
    "cells and get no edges": "model/test_training.py::test_regulators_in_too_few_cells_are_named_once_and_have_no_edges",
    "saved before edges carried evidence": "model/test_saved_format.py::test_it_gives_what_it_gave",
    "have no map, because no regulator varies in them": "model/test_regulation.py::test_a_single_chosen_cell_has_no_map",
    "The model has no ensemble": "model/test_ensemble.py::test_without_an_ensemble_there_are_no_members",
    "of its edges": "grn/test_evidence.py::test_without_q_values_nothing_can_be_called",
    "Found no edge to draw in": "pl/test_edges.py::test_network_without_edges_is_an_error",
    "comparisons are left out": "model/test_conditions.py::test_too_few_cells_are_left_out_with_a_reason",
    "Two donors cannot tell": "model/test_conditions.py::test_two_donors_come_with_a_sentence_on_what_cannot_be_said",
    "one donor does not tell how donors differ": "model/test_conditions.py::test_one_donor_of_each_condition_cannot_be_compared",
    "has a q value of at most": "pl/test_conditions.py::test_a_network_of_nothing_is_an_error_that_says_so",
    "take no part in the comparison": "model/test_conditions.py::test_cells_that_take_no_part_are_told",
    "which has the conditions": "model/test_conditions.py::test_one_condition_is_nothing_to_compare",
    "to compare the others with": "model/test_conditions.py::test_several_conditions_are_compared_with_the_reference",
    "Within one condition there is nothing to compare": "model/test_conditions.py::test_a_condition_cannot_be_its_own_donor_or_group",
    "but the comparison has several": "pl/test_conditions.py::test_several_groups_have_to_be_named",
    "but the comparison has no": "pl/test_conditions.py::test_a_group_of_a_comparison_without_groups_is_an_error",
    "The comparison has no pair of genes": "pl/test_conditions.py::test_a_comparison_of_no_pair_is_an_error",
    "is no table of activities": "pl/test_conditions.py::test_missing_activities_name_the_call_that_makes_them",
    "targets among the": "tl/test_regulator_activity.py::test_too_few_targets_are_an_error",
    "are used as regulators. Name the regulators": "model/test_scdual.py::test_of_many_genes_those_that_vary_most_may_regulate_when_no_regulators_are_known",
    "so no regulator is kept": "pp/test_select_genes.py::test_an_unknown_organism_is_one_warning_that_names_the_cure",
    "No gene is expressed in": "pp/test_select_genes.py::test_what_is_wrong_is_said_and_nothing_changes",
    "whose genes cannot be cut in place": "pp/test_select_genes.py::test_a_file_on_disk_is_not_cut_in_place",
    "has a symbol for none of": "grn/test_symbols.py::test_what_is_wrong_with_symbols_is_said",
    "made without a table of its genes": "grn/test_symbols.py::test_a_column_needs_a_table",
    "Found no edge to write": "grn/test_export.py::test_a_network_without_edges_is_an_error",
    "No edge stands out of its errors": "cli/test_fit.py::test_a_network_without_edges_is_told",
    "genes, expected some targets": "model/test_exclude_targets.py::test_some_targets_must_be_left",
    "expected 0 to knock it out": "model/test_perturb.py::test_genes_that_cannot_be_perturbed_are_named",
    "which is unknown to the model with": "model/test_perturb.py::test_genes_that_cannot_be_perturbed_are_named",
    "is no regulator of the model": "model/test_perturb.py::test_genes_that_cannot_be_perturbed_are_named",
    "has no edges, so nothing follows": "model/test_perturb.py::test_a_regulator_without_edges_is_an_error_that_counts_its_cells",
    "changes nothing; perturb cells that express it": "model/test_perturb.py::test_a_gene_that_no_cell_expresses_cannot_be_knocked_out_or_multiplied",
    "lies beyond the values of the map": "model/test_perturb.py::test_what_lies_beyond_the_map_is_told",
    "where they are silent, so nothing follows": "model/test_perturb.py::test_a_group_in_which_the_gene_is_silent_warns_and_stays",
    "the column of … with the groups": "model/test_perturb.py::test_a_group_needs_a_column",
    "has no effect without": "model/test_perturb.py::test_a_group_needs_a_column",
    "has already, and not from": "model/test_perturb.py::test_what_is_not_ours_is_not_written_over",
    "under which scdual keeps other results": "model/test_perturb.py::test_names_of_other_results_are_refused",
    "was trained on perturbed cells, too": "model/test_check_perturbation.py::test_a_model_that_saw_the_perturbed_cells_warns",
    "None of the perturbations in": "model/test_check_perturbation.py::test_without_a_perturbed_regulator_there_is_nothing_to_judge",
    "are not judged, see": "model/test_perturbation_check.py::test_signs_of_few_genes_do_not_count_in_the_summary",
    "Found no gene to draw in": "pl/test_perturbation.py::test_nothing_to_draw_is_an_error",
    "expected NAME=VALUE": "cli/test_perturb.py::test_errors_are_one_line",
    "is being written by another process": "test_writing.py::test_second_writer_is_refused_until_the_first_is_dead",
    "There is no room to write": "cli/test_files.py::test_full_disk_ends_with_one_sentence_and_the_old_file",
    "may not be written": "test_writing.py::test_what_may_not_be_written_is_named",
    "cannot be read as AnnData": "cli/test_files.py::test_file_that_was_cut_short_is_a_one_line_error",
    "already exists": "test_writing.py::test_folder_is_overwritten_only_when_asked",
    "of --regulators is no text in UTF-8": "cli/test_fit.py::test_error_is_one_line_and_comes_before_training",
    "Interrupted:": "cli/test_fit.py::test_interrupted_training_leaves_the_old_results",
    "is a folder, expected the name of a file": "test_writing.py::test_a_folder_is_no_file",
    "expected one of … Give it one of these, or": "grn/test_export.py::test_an_unknown_format_is_an_error",
    "holds control characters, which": "grn/test_export.py::test_an_old_file_stays_when_the_new_one_fails",
    "--color is … but the columns of obs of": "cli/test_report.py::test_wrong_options_change_nothing",
    "This file has no losses": "cli/report/test_content.py::test_what_the_file_lacks_is_named",
    "holds other things than finite numbers": "cli/report/test_content.py::test_an_embedding_that_holds_no_numbers_is_an_error",
    "Which cells are in which group is not known": "cli/report/test_content.py::test_what_the_file_lacks_is_named",
    "Found … expected one of them. Name the files": "cli/test_compare.py::test_errors_are_one_line",
    "go together: conditions are compared by the model": "cli/test_compare.py::test_errors_are_one_line",
    "the network alone is learnt without epochs": "cli/test_fit.py::test_the_network_alone_has_no_epochs",
    "were not fitted with the same prior": "cli/test_compare.py::test_files_of_different_priors_are_named",
    "a pickle": "model/test_io.py::test_the_format_of_scvi_tools_needs_trust",
    "does not match its checksum": "test_saved.py::test_a_changed_file_is_found",
    "update scdual": "test_saved.py::test_a_later_version_is_refused_before_its_content_is_read",
    "expected the folder of a saved model": "test_saved.py::test_without_a_model_the_message_says_what_is_there",
    "was not saved with a model and would be lost": "model/test_io.py::test_a_file_of_the_user_is_not_written_over",
    "The run cannot be repeated": "model/test_repeat.py::test_what_cannot_be_repeated_is_said",
    "of the data are not those of the run": "model/test_repeat.py::test_other_data_are_refused",
    "another sign in the column": "grn/test_edge_columns.py::test_columns_that_contradict_each_other_are_an_error",
    "hold negative and positive values and are not read": "grn/test_edge_columns.py::test_signs_under_another_name_are_not_passed_over_in_silence",
    "an unknown sign": "grn/test_convert.py::test_from_frame_needs_signs",
    "a pair that is repeated": "grn/test_edges.py::test_repeated_pairs_are_an_error_that_names_them",
    "a weight of zero": "grn/test_edges.py::test_edges_without_a_strength_are_an_error",
    "without the version of their Ensembl ids": "data/test_prior.py::test_ensembl_ids_match_without_their_version",
    "differ in capitals only": "data/test_prior.py::test_names_of_another_organism_are_an_error_that_says_so",
    "or the path of a": "grn/test_edge_file.py::test_a_missing_file_and_a_folder_are_errors_that_say_so",
    "a file needs a line of column names": "grn/test_edge_file.py::test_a_file_that_is_no_table_is_an_error",
    "hold control characters": "grn/test_edges.py::test_names_that_are_none_are_an_error",
    "give the version": "data/test_regulators.py::test_unclear_names_are_an_error",
    "has no support of these edges": "cli/test_edges.py::test_support_that_is_not_in_the_file_is_an_error",
    "has lost part of the evidence": "cli/test_edges.py::test_that_half_of_the_evidence_is_lost_is_said",
    "of the evidence is given": "grn/test_convert.py::test_from_varp_says_what_is_wrong_with_evidence",
}  # the test in which each message is seen


def quoted_messages() -> list[str]:
    """Return what stands in the first column of each row."""
    return re.findall(r"^\| `([^`]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def texts(path: Path) -> Iterator[str]:
    """Yield the texts in a file, with a mark in place of what is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def messages() -> list[str]:
    return [text for path in ROOT.rglob("*.py") for text in texts(path)]


def test_every_row_has_a_test() -> None:
    assert quoted_messages() == list(TEST_OF)


@pytest.mark.parametrize("row", TEST_OF)
def test_a_row_quotes_a_message_of_the_package(messages: list[str], row: str) -> None:
    words = re.compile(".*".join(re.escape(part.strip()) for part in row.split("…")), re.DOTALL)
    assert any(words.search(message) for message in messages)


@pytest.mark.parametrize("row", TEST_OF)
def test_the_test_of_a_row_exists(row: str) -> None:
    file, _, name = TEST_OF[row].partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
