"""TensorFlow Serving's command line, with its grammar: only `--name=value`; a bare bool means true; the last one wins.

Pure. A flag in `ACCEPTED` is parsed by its type and changes nothing here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["bool", "int32", "int64", "float", "string"]
Value = bool | int | float | str

_BITS = {"int32": 32, "int64": 64}


@dataclass(frozen=True)
class Flag:
    """One flag; a default that depends on the machine is None and filled in later."""

    name: str
    kind: Kind
    default: Value | None
    help: str
    acts: bool = True


ACTING = (
    Flag("port", "int32", 8500, "TCP port for gRPC; 0 opens none, and --grpc_socket_path is needed then"),
    Flag("grpc_socket_path", "string", "", "UNIX socket for gRPC as well"),
    Flag("rest_api_port", "int32", 0, "TCP port for REST and metrics; 0 opens none; differs from --port"),
    Flag(
        "bind_address", "string", "", "address of both ports; empty is every address of this machine (Modelpress only)"
    ),
    Flag("rest_api_num_threads", "int32", None, "predictions over REST that run at once; 4 for each processor"),
    Flag("rest_api_timeout_in_ms", "int32", 30000, "how long a REST prediction may wait for its turn"),
    Flag(
        "rest_api_longest_wait_in_ms",
        "int32",
        5000,
        "where over 16 wait for each thread, REST predictions that would wait longer are refused (Modelpress only)",
    ),
    Flag("rest_api_enable_cors_support", "bool", False, "allow browsers of any origin"),
    Flag("grpc_max_threads", "int32", None, "predictions over gRPC at once; 4 for each processor, at least 64"),
    Flag("grpc_channel_arguments", "string", "", "key=value,key=value for the gRPC server"),
    Flag("enable_grpc_healthcheck_service", "bool", False, "the health service is always on"),
    Flag("model_name", "string", "default", "name of the model"),
    Flag("model_base_path", "string", "", "folder that holds the version folders"),
    Flag("model_config_file", "string", "", "file with a ModelServerConfig in text format; overrides the two above"),
    Flag("model_config_file_poll_wait_seconds", "int32", 0, "seconds between looks at that file; 0: read once"),
    Flag("allow_version_labels_for_unavailable_models", "bool", False, "a new label may come before its version"),
    Flag("num_load_threads", "int32", 0, "models that are loaded at once; 0: one for each processor"),
    Flag("file_system_poll_wait_seconds", "int32", 1, "seconds between looks for new versions; 0 or less: never"),
    Flag("max_num_load_retries", "int32", 0, "how often a failed load is repeated (TensorFlow Serving: 5)"),
    Flag("load_retry_interval_micros", "int64", 60_000_000, "microseconds between those"),
    Flag("enable_model_warmup", "bool", True, "send a version its assets.extra/tf_serving_warmup_requests first"),
    Flag("num_request_iterations_for_warmup", "int32", 0, "how often each of them; 0: once"),
    Flag("num_tflite_pools", "int32", None, "interpreters of each version; one for each processor"),
    Flag("access_log", "bool", False, "a line of JSON for each request on stdout (Modelpress only)"),
    Flag("engine", "string", "litert", "runtime: litert or openvino (Modelpress only)"),
    Flag("tensorflow_intra_op_parallelism", "int64", 0, "threads of one interpreter; 0 is 1"),
    Flag("tensorflow_session_parallelism", "int64", 0, "the same by another name"),
    Flag("enable_batching", "bool", False, "run requests that wait for the same model together"),
    Flag("batching_parameters_file", "string", "", "file with BatchingParameters in text format"),
    Flag("enable_per_model_batching_parameters", "bool", False, "only with a version's own batching_params.pbtxt"),
    Flag("saved_model_tags", "string", "serve", "tags of the meta graph whose signatures are served, by commas"),
    Flag("prefer_tflite_model", "bool", False, "model.tflite is always what answers"),
    Flag("enable_serialization_as_tensor_content", "bool", False, "answer with tensor_content over gRPC"),
    Flag("enable_signature_method_name_check", "bool", False, "a call needs a signature of its own method name"),
    Flag("ssl_config_file", "string", "", "file with an SSLConfig in text format; gRPC then speaks TLS"),
    Flag("use_alts_credentials", "bool", False, "not possible here: the server does not start"),
    Flag("monitoring_config_file", "string", "", "file with a MonitoringConfig in text format"),
    Flag("version", "bool", False, "print versions and exit"),
)


def _accepted(kind: Kind, default: Value, *names: str) -> tuple[Flag, ...]:
    return tuple(Flag(name, kind, default, "accepted, no effect", acts=False) for name in names)


ACCEPTED = (
    *_accepted("string", "", "platform_config_file"),
    *_accepted("string", "", "tensorflow_session_config_file", "thread_pool_factory_config_file", "mixed_precision"),
    *_accepted("bool", False, "xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled", "skip_initialize_tpu"),
    *_accepted("bool", True, "flush_filesystem_caches", "enable_profiler"),
    *_accepted("bool", True, "remove_unused_fields_from_bundle_metagraph"),
    *_accepted("int32", 0, "num_unload_threads"),
    *_accepted("int32", 1, "num_tflite_interpreters_per_pool"),
    *_accepted("int64", 0, "tensorflow_inter_op_parallelism"),
    *_accepted("float", 0.0, "per_process_gpu_memory_fraction"),
)
FLAGS = {flag.name: flag for flag in (*ACTING, *ACCEPTED)}


@dataclass(frozen=True)
class CommandLine:
    """What was given: values by flag name, arguments that nobody knows, and values that could not be read."""

    values: Mapping[str, Value]
    unknown: tuple[str, ...]
    problems: tuple[str, ...]
    wants_help: bool

    def without_effect(self) -> list[str]:
        """The flags that were given another value than their default, and change nothing here."""
        return [name for name, value in self.values.items() if not FLAGS[name].acts and value != FLAGS[name].default]


def parse_arguments(arguments: Sequence[str]) -> CommandLine:
    """Read every argument; nothing is refused here, so that the caller can print all that is wrong."""
    values: dict[str, Value] = {}
    unknown: list[str] = []
    problems: list[str] = []
    for argument in arguments:
        name, has_value, text = argument.removeprefix("--").partition("=")
        flag = FLAGS.get(name) if argument.startswith("--") else None
        if flag is None or not (has_value or flag.kind == "bool"):
            unknown.append(argument)
            continue
        value = parse_value(flag.kind, text if has_value else "true")
        if value is None:
            problems.append(f"Couldn't interpret value {text} for flag {name}.")
        else:
            values[name] = value
    wants_help = "--help" in unknown
    return CommandLine(values, tuple(item for item in unknown if item != "--help"), tuple(problems), wants_help)


def parse_value(kind: Kind, text: str) -> Value | None:
    """The value, or None where the text is none of this kind; a bool is exactly `true` or `false`."""
    if kind == "string":
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text)
    if text != text.strip() or "_" in text or not text.isascii():
        return None
    try:
        if kind == "float":
            return float(text)
        number = int(text)
    except ValueError:
        return None
    limit = 2 ** (_BITS[kind] - 1)
    return number if -limit <= number < limit else None


def format_usage(program: str) -> str:
    """Every flag with its default, kind and meaning."""
    lines = [f"usage: {program}", "Flags:"]
    for flag in FLAGS.values():
        shown = _format_default(flag)
        lines.append(f"\t{f'--{flag.name}={shown}':<50}\t{flag.kind}\t{flag.help}")
    return "\n".join(lines)


def _format_default(flag: Flag) -> str:
    if flag.default is None:
        return ""
    if flag.kind == "bool":
        return "true" if flag.default else "false"
    return f'"{flag.default}"' if flag.kind == "string" else str(flag.default)
