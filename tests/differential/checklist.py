"""What the reference's runtime can do, feature by feature, and what shows that perdure can: a test, or a difference.

python -m tests.differential.checklist

writes the page docs/features.md. `case NAME` is a graph that both packages run (tests/differential/cases); `FILE::NAME`
is a test; `difference TEXT` is the beginning of a line of docs/differences.md, and `absent NAME` a name that it lacks.
"""

from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "features.md"

_ODDS = "differential/test_odds_and_ends.py::"
_STREAMS = "differential/test_run_streams.py::"

CHECKLIST: dict[str, dict[str, tuple[str, ...]]] = {
    "Building": {
        "states: TypedDict": ("case linear",),
        "states: Pydantic model": ("case pydantic_state",),
        "states: dataclass": (
            "case dataclass_state",
            "unit/graph/test_building.py::test_a_dataclass_state_reaches_the_nodes_as_itself",
        ),
        "states: one bare value": ("case state_of_one_value",),
        "input and output schemas": ("case input_and_output_schemas",),
        "context schema": ("case context", "typing/test_typing.py::test_mypy"),
        "a node's own input schema": ("case node_with_an_input_schema",),
        "private channels between nodes": ("case private_channel_between_nodes",),
        "reducers": ("case fan_out_and_in", "case other_reducers"),
        "channels as annotations": ("case topics", "case ephemeral_untracked_and_any"),
        "managed values": ("case managed_values",),
        "add_node: names, kinds of functions": (
            "case nodes_of_all_kinds",
            "case runnable_lambdas_as_nodes",
            "case async_nodes",
        ),
        "add_node: generators": ("case nodes_that_are_generators",),
        "add_node(defer)": ("case deferred_node", "case deferred_join", "difference A deferred node waits"),
        "add_node(metadata)": ("case tasks_with_metadata",),
        "add_node(retry_policy)": ("case retry_succeeds", "case retry_gives_up"),
        "add_node(cache_policy)": ("case cached_node",),
        "add_node(error_handler)": (
            "integration/test_error_handlers.py::test_a_handler_takes_the_place_of_the_node_but_not_of_its_edges",
            "difference A node's error handler belongs",
        ),
        "add_node(destinations)": ("case drawing",),
        "add_node(timeout)": ("integration/test_timeouts.py::test_an_attempt_has_an_end_whatever_it_does",),
        "add_node(trace_policy), omit_payload": (
            "integration/test_otel.py::test_payloads_are_told_as_each_policy_says",
            "difference A `TracePolicy` says",
        ),
        "add_edge from several: waits for all": ("case join_waits_for_all",),
        "add_conditional_edges, path maps": ("case conditional_with_path_map",),
        "a branch sees its node's own update": ("case conditional_sees_the_node_s_own_update",),
        "add_sequence, entry and finish points": (
            "case sequence_and_entry_points",
            "case conditional_entry_and_two_branches_of_one_node",
        ),
        "set_node_defaults": (
            "integration/test_error_handlers.py::test_defaults_hold_for_nodes_that_do_not_say_otherwise",
        ),
        "validation": (
            "case no_entry_point",
            "case edge_to_an_unknown_node",
            "case node_added_twice",
            "case reserved_node_name",
        ),
        "compile(checkpointer: None, False, True, a saver)": (
            "case subgraph_as_node",
            "case subgraph_with_a_memory_of_its_own",
            "case subgraph_without_memory",
        ),
        "compile(interrupt_before, interrupt_after)": ("case interrupt_before_some", "case interrupt_after_some"),
        "compile(cache, store)": (
            "contract/test_caches.py::test_a_node_is_not_run_again_for_the_same_input",
            "case workflow_gets_what_it_asks_for",
        ),
        "compile(debug), print_mode": (f"{_ODDS}print_modes",),
        "compile(transformers)": (f"{_ODDS}transformers_of_a_graph",),
        "Pregel and NodeBuilder": (
            "case one_node_between_channels",
            "case a_row_of_nodes",
            "case a_node_that_reads_what_does_not_start_it",
            "difference A node made by `NodeBuilder`",
        ),
        "MessageGraph": ("case graph_of_messages",),
    },
    "Channels": {
        "LastValue": ("case parallel_writes_to_a_last_value",),
        "LastValueAfterFinish, NamedBarrierValueAfterFinish": (
            "unit/channels/test_channels.py::test_after_finish_channels_wait_for_the_end",
        ),
        "AnyValue, EphemeralValue, UntrackedValue": (
            "case ephemeral_untracked_and_any",
            "case untracked_is_gone_after_a_stop",
        ),
        "Topic": ("case topics",),
        "BinaryOperatorAggregate": ("case other_reducers",),
        "NamedBarrierValue": (
            "unit/channels/test_channels.py::test_barrier_opens_when_all_have_come_and_closes_when_consumed",
        ),
        "DeltaChannel": (
            f"{_ODDS}a_delta_channel",
            "differential/test_checkpoint_names.py::test_delta_history_leads_to_the_value",
        ),
        "the interface of channels": ("unit/channels/test_channels.py::test_a_checkpoint_rebuilds_the_channel",),
        "Overwrite": ("case overwrite", "case overwrite_beside_an_update", "case two_overwrites_in_a_step"),
        "add_messages, RemoveMessage, REMOVE_ALL_MESSAGES": (
            "case messages",
            "case messages_removed",
            "case message_to_remove_is_unknown",
        ),
        "ids of messages come before the write": (
            "unit/graph/test_messages.py::test_an_update_has_its_ids_before_it_is_stored",
            "difference Messages are stored",
        ),
        "formats of messages": ("unit/graph/test_messages.py::test_formats_need_langchain",),
        "push_message": (f"{_ODDS}pushed_messages",),
    },
    "Running": {
        "supersteps: what is due, in which order": (
            "case linear",
            "unit/pregel/test_machine.py::test_writes_are_applied_in_the_order_of_paths_not_of_ends",
        ),
        "one version a superstep": (
            "unit/pregel/test_machine.py::test_all_channels_of_a_superstep_get_one_new_version",
        ),
        "ids of tasks are deterministic, and the same in both packages": (
            "unit/pregel/test_machine.py::test_planning_again_gives_the_same_ids",
            "ops/test_langgraph.py::test_a_run_goes_on_amid_a_superstep",
        ),
        "max_concurrency": (
            "case several_tasks_ask",
            "integration/test_workflows.py::test_max_concurrency_holds_for_calls",
        ),
        "Send": ("case send_fan_out", "case send_from_sends", "case send_of_odd_payloads_beside_an_edge"),
        "Send(timeout)": (f"{_ODDS}a_timeout_of_a_send",),
        "Command from a node": ("case command_goto_and_update", "case commands_mixed_in_a_list"),
        "Command as the input": ("case command_as_input", "difference A `Command` as the first input"),
        "Command.PARENT": (
            "case command_to_the_parent",
            "case command_past_two_graphs",
            "case command_with_sends_to_the_parent",
        ),
        "Command.PARENT as the input": (f"{_ODDS}a_command_for_a_parent_as_input",),
        "an empty input, an empty Command": ("case odd_inputs", f"{_ODDS}test_an_empty_command_is_refused"),
        "Command(resume) without a saver": (f"{_ODDS}answers_without_a_saver",),
        "recursion_limit": ("case recursion_limit", f"{_ODDS}the_limit_of_the_environment"),
        "step_timeout": ("case superstep_that_takes_too_long", "difference When a superstep takes too long"),
        "stream_eager": (f"{_ODDS}eager_streams",),
        "configs: tags, metadata, callbacks, run_id": (
            "case config_in_a_node",
            "case metadata_of_the_config",
            f"{_ODDS}a_config_of_the_graph",
        ),
        "a call with the run's own id goes on": (
            f"{_ODDS}the_run_of_the_config",
            "difference A run goes on, instead of taking",
        ),
        "with_config": (f"{_ODDS}a_config_of_the_graph",),
        "RetryPolicy": ("case retry_of_another_error_is_none", "case retry_by_default_leaves_value_errors"),
        "default_retry_on": (f"{_ODDS}retries_by_default",),
        "TimeoutPolicy, runtime.heartbeat": (
            "integration/test_timeouts.py::test_silence_has_an_end",
            "integration/test_timeouts.py::test_only_a_heartbeat_counts_if_asked_so",
        ),
        "CachePolicy, clear_cache": ("case cached_node", "contract/test_caches.py::test_a_key_of_ones_own"),
        "error handlers survive a crash": (
            "integration/test_error_handlers.py::test_a_failed_node_does_not_run_again_when_its_handler_does",
        ),
        "NodeCancelledError": (f"{_ODDS}a_node_that_raises_cancelled_error",),
        "draining a run": (f"{_ODDS}drains",),
        "Runtime: context, store, writer, previous": ("case context", "case workflow_gets_what_it_asks_for"),
        "Runtime: execution_info": (f"{_ODDS}attempts_and_their_times",),
        "get_config, get_store, get_stream_writer": (
            "case config_in_a_node",
            "case custom_streams",
            f"{_ODDS}a_store_in_a_node",
        ),
        "GraphCallbackHandler": ("case handlers_are_told", f"{_ODDS}handlers_that_are_coroutines"),
        "invoke, batch and their async twins": ("case batch", "case async_node_invoked_synchronously"),
    },
    "Persistence": {
        "the timeline of checkpoints": ("case linear", "case update_of_a_finished_thread"),
        "durability: sync, async, exit": (
            "case durability_of_all_kinds",
            "case durability_exit",
            "case subgraph_with_durability_exit",
        ),
        "a new input discards unfinished tasks": (
            "case new_input_after_a_failure",
            "case new_input_instead_of_an_answer",
        ),
        "failures: finished siblings are kept": (
            "case sibling_finished_before_the_failure",
            "difference When a parallel task fails",
        ),
        "failures: a resumed run runs what is unfinished": ("case node_fails_once", "case one_send_of_three_fails"),
        "interrupt, one and several in a node": (
            "case ask_once",
            "case ask_twice_in_a_node",
            "case ask_in_a_loop_stops_each_time",
        ),
        "interrupts of several tasks, answers by id": (
            "case several_tasks_ask",
            "case sends_ask",
            "difference An answer is stored with",
        ),
        "interrupt(response_schema)": ("case answer_with_a_schema",),
        "unknown and strict answers": (
            f"{_ODDS}answers_to_unknown_questions",
            "difference An answer that nobody asked for",
        ),
        "answers go with an update": ("case resume_with_an_update",),
        "NodeInterrupt": (f"{_ODDS}node_interrupts",),
        "interrupt_before and after": ("case interrupt_before_and_after_all", "case interrupts_given_at_the_call"),
        "namespaces of subgraphs": ("case ask_two_graphs_down", "case subgraph_called_twice_in_a_node"),
        "subgraphs with a memory, without, for one call": (
            "case subgraph_with_memory_asks",
            "case subgraph_without_memory_asks",
            "case subgraph_stopped_around_itself",
        ),
        "get_state, with subgraphs": (
            "case subgraph_stopped_before_a_node",
            "case states_of_the_past",
            "difference The config of a subgraph",
        ),
        "get_state_history, filters": ("case history_filters",),
        "update_state": ("case update_as_an_earlier_node", "case update_with_nothing", "case update_refused"),
        "update_state(task_id)": (f"{_ODDS}an_update_with_a_task_id",),
        "update_state: end, input, copy": (
            "case update_that_ends_the_run",
            "case update_as_input",
            "case copy_of_a_checkpoint",
            f"{_ODDS}a_copy_with_updates",
        ),
        "bulk_update_state": ("case bulk_update", "case bulk_update_odd"),
        "replays and forks": (
            "case replay",
            "case fork_of_an_old_checkpoint",
            "case two_branches",
            "case replay_of_an_answered_interrupt",
        ),
        "replays of subgraphs": ("case replay_through_a_subgraph", "case replay_through_a_subgraph_with_memory"),
        "a saver brought by the config": ("differential/test_engine_names.py::test_a_saver_of_the_config",),
        "checkpoints of older data models": ("difference Checkpoints of LangGraph's older data models",),
        "savers of the reference's contract": (
            "contract/test_langgraph_conformance.py::test_all_capabilities_pass",
            "contract/test_classic_savers.py::test_a_run_stops_to_ask_and_goes_on",
        ),
        "encryption": (
            "contract/test_encryption.py::test_a_database_tells_nothing",
            "difference `EncryptedSerializer` reads encrypted values only",
        ),
    },
    "Streaming": {
        "values, updates, tasks, checkpoints, debug": (
            "case every_stream_mode",
            "difference Checkpoint events of a run",
        ),
        "custom": ("case custom_streams", "case custom_streams_of_a_subgraph"),
        "messages: tokens of models, the tag nostream": ("case language_model_tokens",),
        "messages: from other sources": (
            "integration/test_message_streams.py::test_pieces_are_told_and_the_message_is_kept",
        ),
        "tools, ToolCallTransformer": (
            "differential/test_tool_calls.py::test_the_mode",
            "differential/test_tool_calls.py::test_the_projection",
        ),
        "several modes, none, unknown ones": ("case odd_stream_modes", "difference An unknown stream mode"),
        "subgraphs": ("case ask_two_graphs_down_streamed",),
        "version v2, GraphOutput": ("case every_stream_mode_of_version_two", "case ask_with_shapes_of_version_two"),
        "output_keys": ("case modes_and_keys_of_invoke",),
        "stream_events(version v3): events and projections": (
            f"{_STREAMS}test_events",
            f"{_STREAMS}test_projections_of_transformers",
            "difference A message's `output`",
        ),
        "stream_events: graphs within, lifecycle, messages": (
            f"{_STREAMS}test_graphs_within",
            f"{_STREAMS}test_lifecycle",
            f"{_STREAMS}test_messages",
        ),
        "cached results are marked": ("case cached_node",),
    },
    "Workflows (functional API)": {
        "entrypoint and task": ("case workflow", "case workflow_stream", "case workflow_of_coroutines"),
        "previous, entrypoint.final": ("case workflow_previous",),
        "results are kept": ("case workflow_failure", "case workflow_retry", "difference A workflow (`@entrypoint`)"),
        "tasks of tasks, tasks in nodes": ("case workflow_nested_tasks", "case tasks_in_a_node"),
        "questions": ("case workflow_questions",),
        "cached tasks": ("case cached_task",),
        "timeouts of tasks": (
            "integration/test_timeouts.py::test_tasks_have_timeouts_and_a_heartbeat_without_a_limit_does_nothing",
        ),
        "generators are refused": ("case a_generator_is_no_workflow",),
    },
    "Around it": {
        "get_graph: data, Mermaid, ASCII, pictures": (
            "case drawing",
            "unit/graph/test_pictures.py::test_png_is_one",
            "difference `draw_png`",
        ),
        "get_subgraphs": (f"{_ODDS}subgraphs_by_name",),
        "JSON schemas": ("case what_a_graph_says_of_itself",),
        "components (push_ui_message)": ("case components",),
        "ToolNode, tools_condition": (
            "differential/test_prebuilt.py::test_tool_node",
            "differential/test_prebuilt.py::test_condition",
        ),
        "create_react_agent": (
            "differential/test_prebuilt.py::test_agent",
            "difference With a saver, each call of a `ToolNode`",
        ),
        "ValidationNode": ("differential/test_prebuilt.py::test_validation_node",),
        "stores": ("contract/test_stores.py::test_filters", "contract/test_vector_search.py::test_all_find_the_same"),
        "error classes and codes": (f"{_ODDS}codes_of_errors", "unit/test_errors.py::test_errors_survive_pickling"),
        "RemoteGraph": (
            "server/test_remote.py::test_it_runs_asks_and_goes_on",
            "server/test_remote.py::test_it_streams",
            "server/test_remote.py::test_it_is_a_node_of_a_graph",
        ),
    },
}


def table() -> str:
    """Return the page's tables."""
    parts = []
    for part, features in CHECKLIST.items():
        rows = [f"| {feature} | {'; '.join(map(_cell, shown))} |" for feature, shown in features.items()]
        parts.append(f"## {part}\n\n| | shown by |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _cell(shown: str) -> str:
    kind, _, what = shown.partition(" ")
    if kind == "case":
        return f"`{what}`"
    if kind == "difference":
        return "[differs](differences.md)"
    return "[absent](differences.md#every-public-name)" if kind == "absent" else f"`{shown.partition('::')[2]}`"


def main() -> None:
    head = PAGE.read_text().partition("\n## ")[0].rstrip() + "\n\n"
    PAGE.write_text(head + table())


if __name__ == "__main__":
    main()
