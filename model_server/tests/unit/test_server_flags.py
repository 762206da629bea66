import pytest

from model_server.flags import FLAGS, format_usage, parse_arguments, parse_value


def test_only_name_equals_value_is_a_flag():
    parsed = parse_arguments(["--port", "8500", "-port=1", "port=2", "--port=3"])
    assert parsed.unknown == ("--port", "8500", "-port=1", "port=2")
    assert parsed.values == {"port": 3}


def test_last_value_wins():
    assert parse_arguments(["--model_name=a", "--model_name=b"]).values == {"model_name": "b"}


def test_bare_bool_is_true_and_its_values_are_words():
    parsed = parse_arguments(["--enable_batching", "--prefer_tflite_model=false", "--enable_profiler=1"])
    assert parsed.values == {"enable_batching": True, "prefer_tflite_model": False}
    assert parsed.problems == ("Couldn't interpret value 1 for flag enable_profiler.",)


@pytest.mark.parametrize("text", ["", "x", "1.5", " 1", "1_0", "2147483648", "-2147483649", "\u0661"])
def test_what_is_no_int32_is_refused(text):
    assert parse_value("int32", text) is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int32", "-1", -1),
        ("int32", "2147483647", 2**31 - 1),
        ("int64", "2147483648", 2**31),
        ("float", "0.5", 0.5),
        ("string", "", ""),
        ("bool", "false", False),
    ],
)
def test_values_are_read_by_their_kind(kind, text, value):
    assert parse_value(kind, text) == value


def test_help_is_no_unknown_argument():
    parsed = parse_arguments(["--help", "--nonsense"])
    assert parsed.wants_help
    assert parsed.unknown == ("--nonsense",)


def test_flags_without_effect_are_named_only_when_changed():
    parsed = parse_arguments(["--enable_batching=false", "--mixed_precision=x", "--port=1"])
    assert parsed.without_effect() == ["mixed_precision"]


def test_every_flag_of_tensorflow_serving_is_known():
    names = """port grpc_socket_path rest_api_port rest_api_num_threads grpc_max_threads rest_api_timeout_in_ms
    rest_api_enable_cors_support model_name model_base_path model_config_file model_config_file_poll_wait_seconds
    file_system_poll_wait_seconds num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros
    flush_filesystem_caches enable_model_warmup num_request_iterations_for_warmup prefer_tflite_model num_tflite_pools
    num_tflite_interpreters_per_pool enable_batching batching_parameters_file enable_per_model_batching_parameters
    allow_version_labels_for_unavailable_models monitoring_config_file ssl_config_file tensorflow_intra_op_parallelism
    tensorflow_inter_op_parallelism tensorflow_session_parallelism grpc_channel_arguments
    enable_grpc_healthcheck_service enable_serialization_as_tensor_content enable_signature_method_name_check version
    tensorflow_session_config_file platform_config_file per_process_gpu_memory_fraction saved_model_tags
    remove_unused_fields_from_bundle_metagraph use_alts_credentials xla_cpu_compilation_enabled
    xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file mixed_precision skip_initialize_tpu"""
    assert set(names.split()) == FLAGS.keys() - {"bind_address", "engine", "access_log", "rest_api_longest_wait_in_ms"}


def test_usage_names_every_flag_once():
    lines = format_usage("server").splitlines()
    assert lines[0] == "usage: server"
    assert sorted(line.split("=")[0].strip().removeprefix("--") for line in lines[2:]) == sorted(FLAGS)


def test_usage_prints_defaults_by_their_kind():
    shown = {line.split("\t")[1].strip() for line in format_usage("server").splitlines()[2:]}
    assert {"--rest_api_port=0", "--enable_batching=false", '--model_name="default"', "--num_tflite_pools="} <= shown
