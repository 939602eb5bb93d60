import dataclasses
import inspect
from pathlib import Path

import pytest

from holdfast_server.config import MIB, ServerConfig
from holdfast_server.exposure import UsageError, exposure_warning
from holdfast_server.health_check import default_address
from holdfast_server.settings import PREFIX, SETTINGS, parser, read

FIELDS = {field.name: field for field in dataclasses.fields(ServerConfig)}


def test_every_field_of_the_configuration_has_a_setting_and_the_reverse():
    assert {setting.field for setting in SETTINGS if setting.field} == set(FIELDS)


@pytest.mark.parametrize("setting", [pytest.param(s, id=s.name) for s in SETTINGS])
def test_every_setting_has_flag_variable_default_and_one_line_of_help(setting):
    shown = " ".join(parser().format_help().split()).replace("- ", "-")
    assert setting.flag in shown
    assert setting.variable.startswith(PREFIX)
    assert setting.variable in shown
    assert setting.help.endswith(".")
    assert "\n" not in setting.help
    assert len(setting.help) <= 120
    setting.parse(setting.default)


def test_flags_and_variables_are_each_used_once():
    assert len({s.flag for s in SETTINGS}) == len({s.variable for s in SETTINGS}) == len(SETTINGS)


def test_every_field_is_documented():
    for name in FIELDS:
        assert f"\n    {name}: " in inspect.cleandoc(ServerConfig.__doc__ or "")


def test_defaults_are_those_of_the_configuration():
    process = read([], {})
    assert process.config == ServerConfig(data_dir=Path(".holdfast"))
    assert process.log_level == "info"


VALUES = [
    pytest.param("host", "localhost", "addresses", ("localhost:5600",), id="host"),
    pytest.param("port", "0", "addresses", ("127.0.0.1:0",), id="port"),
    pytest.param("unix", "/run/h.sock", "addresses", ("unix:/run/h.sock",), id="unix"),
    pytest.param("data_dir", "/srv/h", "data_dir", Path("/srv/h"), id="data-dir"),
    pytest.param("store", "s3://b?endpoint=http://h", "store", "s3://b?endpoint=http://h", id="store"),
    pytest.param("s3_credentials_file", "/run/c", "s3_credentials_file", Path("/run/c"), id="s3-credentials-file"),
    pytest.param("auth", "tokens", "auth", "tokens", id="auth"),
    pytest.param("insecure", "on", "insecure", True, id="insecure"),
    pytest.param("idle_timeout", "2.5", "idle_timeout", 2.5, id="idle-timeout"),
    pytest.param("drain_timeout", "30", "drain_timeout", 30.0, id="drain-timeout"),
    pytest.param("byte_budget", "128MiB", "byte_budget", 128 * MIB, id="byte-budget"),
    pytest.param("block_threads", "7", "block_threads", 7, id="block threads"),
    pytest.param("max_message", "8MiB", "max_message", 8 * MIB, id="max-message"),
    pytest.param("max_connection_calls", "100", "max_connection_calls", 100, id="max-connection-calls"),
    pytest.param("max_streams", "0", "max_streams", 0, id="max-streams"),
    pytest.param("max_caller_streams", "7", "max_caller_streams", 7, id="max-caller-streams"),
    pytest.param("max_strangers", "7", "max_strangers", 7, id="max-strangers"),
    pytest.param("max_caller_requests", "7", "max_caller_requests", 7, id="max-caller-requests"),
    pytest.param("max_caller_rate", "1MiB", "max_caller_rate", MIB, id="max-caller-rate"),
    pytest.param("max_waiting", "7", "max_waiting", 7, id="max-waiting"),
    pytest.param("reflection", "on", "reflection", True, id="reflection"),
    pytest.param("run_lease", "90", "run_lease", 90.0, id="run-lease"),
    pytest.param("audit_interval", "60", "audit_interval", 60.0, id="audit-interval"),
    pytest.param("metrics_open", "on", "metrics_open", True, id="metrics-open"),
    pytest.param("metrics_address", "[::1]:9464", "metrics_address", "[::1]:9464", id="metrics-address"),
    pytest.param("trace_endpoint", "http://127.0.0.1:4317", "trace_endpoint", "http://127.0.0.1:4317", id="traces"),
    pytest.param("probe_interval", "2", "probe_interval", 2.0, id="probe-interval"),
    pytest.param("access_log", "info", "access_log", "info", id="access-log"),
]


def test_the_table_of_values_is_complete():
    together = {"tls_cert", "tls_key", "tls_client_ca"}
    of_process = {"log_level", "log_format", "workers"}
    assert {case.values[0] for case in VALUES} == {setting.name for setting in SETTINGS} - of_process - together


def test_tls_files_come_from_flags_and_variables_together():
    config = read(["--tls-cert=/c"], {"HOLDFAST_SERVER_TLS_KEY": "/k", "HOLDFAST_SERVER_TLS_CLIENT_CA": "/a"}).config
    assert (config.tls_cert, config.tls_key, config.tls_client_ca) == (Path("/c"), Path("/k"), Path("/a"))


@pytest.mark.parametrize(("name", "text", "field", "expected"), VALUES)
def test_a_value_comes_from_the_flag_or_the_variable(name: str, text: str, field: str, expected: object):
    (setting,) = (s for s in SETTINGS if s.name == name)
    flags = [f"{setting.flag}={text}"] if setting.metavar else [setting.flag]
    assert getattr(read(flags, {}).config, field) == expected
    assert getattr(read([], {setting.variable: text}).config, field) == expected


def test_flags_win_over_variables_and_empty_variables_are_absent():
    environment = {"HOLDFAST_SERVER_PORT": "1", "HOLDFAST_SERVER_INSECURE": "1", "HOLDFAST_SERVER_WORKERS": ""}
    config = read(["--port", "2", "--no-insecure"], environment).config
    assert (config.addresses, config.insecure, config.block_threads) == (("127.0.0.1:2",), False, 2)


@pytest.mark.parametrize(
    ("arguments", "addresses"),
    [
        pytest.param(["--unix=/a", "--port=0"], ("unix:/a", "127.0.0.1:0"), id="socket and port"),
        pytest.param(["--unix=/a", "--host=127.0.0.2"], ("unix:/a", "127.0.0.2:5600"), id="socket and host"),
        pytest.param(["--host=::1"], ("[::1]:5600",), id="IPv6"),
        pytest.param(["--host=[::1]"], ("[::1]:5600",), id="IPv6 in brackets"),
        pytest.param(["--host=127.9.9.9"], ("127.9.9.9:5600",), id="all of loopback"),
        pytest.param(["--host=0.0.0.0", "--insecure"], ("0.0.0.0:5600",), id="every interface, insecure"),
        pytest.param(["--unix=/a", "--insecure"], ("unix:/a",), id="a switch adds no port"),
    ],
)
def test_addresses(arguments: list[str], addresses: tuple[str, ...]):
    assert read(arguments, {}).config.addresses == addresses


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"])
def test_more_than_loopback_needs_insecure(host: str):
    with pytest.raises(UsageError, match=r"without TLS .* --insecure \(or HOLDFAST_SERVER_INSECURE=1\)"):
        read(["--host", host], {})
    with pytest.raises(UsageError, match="without authentication anyone"):
        read(["--host", host, "--tls-cert=/c", "--tls-key=/k"], {})
    protected = read(["--host", host, "--tls-cert=/c", "--tls-key=/k", "--tls-client-ca=/a"], {}).config
    assert exposure_warning(protected) == []
    with pytest.raises(UsageError, match="loopback"):
        read([], {"HOLDFAST_SERVER_HOST": host})


@pytest.mark.parametrize(
    ("arguments", "risks"),
    [
        pytest.param(["--host=0.0.0.0", "--insecure"], ["without TLS", "without authentication"], id="bare"),
        pytest.param(
            ["--host=::", "--insecure", "--tls-cert=/c", "--tls-key=/k"], ["without authentication"], id="TLS"
        ),
        pytest.param(["--insecure"], [], id="loopback"),
        pytest.param(["--insecure", "--unix=/a"], [], id="socket"),
    ],
)
def test_insecure_warns_of_what_can_happen_and_only_then(arguments: list[str], risks: list[str]):
    lines = exposure_warning(read(arguments, {}).config)
    assert [line.strip()[2 : 2 + len(risk)] for line, risk in zip(lines[1:-1], risks, strict=True)] == risks
    assert bool(lines) == bool(risks)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        pytest.param(["--tls-cert=/c"], {}, "--tls-cert needs --tls-key", id="certificate without key"),
        pytest.param(["--tls-key=/c"], {}, "--tls-key needs --tls-cert", id="key without certificate"),
        pytest.param(["--tls-client-ca=/c"], {}, "over TLS only", id="clients' authority without TLS"),
        pytest.param(["--port=x"], {}, "--port=x: a port is", id="port"),
        pytest.param(["--port=65536"], {}, "0 to 65535", id="port too high"),
        pytest.param(["--port=٣"], {}, "0 to 65535", id="digits of another script"),
        pytest.param([], {"HOLDFAST_SERVER_PORT": "-1"}, "HOLDFAST_SERVER_PORT=-1: a port is", id="variable"),
        pytest.param(["--idle-timeout=0"], {}, "seconds above 0", id="no time"),
        pytest.param(["--idle-timeout=nan"], {}, "seconds above 0", id="not a number"),
        pytest.param(["--drain-timeout=inf"], {}, "seconds above 0", id="forever"),
        pytest.param(["--byte-budget=8MiB"], {}, "at least 16MiB", id="small budget"),
        pytest.param(["--byte-budget=64MB"], {}, "KiB, MiB or GiB", id="unit"),
        pytest.param(["--max-message=1MiB"], {}, "from 4MiB to 64MiB", id="small messages"),
        pytest.param(["--max-connection-calls=99"], {}, "from 100", id="few calls"),
        pytest.param(["--max-streams=-1"], {}, "0 is any number", id="negative limit"),
        pytest.param(["--max-caller-rate=1KiB"], {}, "at least 1MiB", id="slow"),
        pytest.param(["--block-threads=0"], {}, "1 to 1024", id="no threads"),
        pytest.param(["--workers=0"], {}, "1 to 64", id="no workers"),
        pytest.param(["--workers=2", "--unix=/a"], {}, "needs a port to share", id="workers on a Unix socket alone"),
        pytest.param(["--workers=3", "--metrics-address=127.0.0.1:65534"], {}, "choose less", id="no port for metrics"),
        pytest.param([], {"HOLDFAST_SERVER_INSECURE": "maybe"}, "on or off", id="switch"),
        pytest.param(["--log-level=loud"], {}, "debug, info", id="level"),
        pytest.param(["--data-dir="], {}, "not empty", id="no directory"),
        pytest.param(["--host=not a host"], {}, "neither an address nor", id="host"),
        pytest.param(["--hots=x"], {}, "--hots", id="unknown flag"),
        pytest.param(["--dat=x"], {}, "--dat", id="abbreviated flag"),
    ],
)
def test_a_broken_value_is_refused_with_its_rule(arguments: list[str], environment: dict[str, str], message: str):
    with pytest.raises(UsageError) as caught:
        read(arguments, environment)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        pytest.param({}, "127.0.0.1:5600", id="defaults"),
        pytest.param({"HOLDFAST_SERVER_HOST": "0.0.0.0"}, "127.0.0.1:5600", id="every interface"),
        pytest.param({"HOLDFAST_SERVER_HOST": "::", "HOLDFAST_SERVER_PORT": "7"}, "[::1]:7", id="every IPv6 interface"),
        pytest.param({"HOLDFAST_SERVER_HOST": "::1"}, "[::1]:5600", id="IPv6"),
        pytest.param({"HOLDFAST_SERVER_HOST": "10.0.0.2"}, "10.0.0.2:5600", id="one interface"),
        pytest.param({"HOLDFAST_SERVER_UNIX": "/run/h"}, "unix:/run/h", id="socket"),
        pytest.param({"HOLDFAST_SERVER_UNIX": "/run/h", "HOLDFAST_SERVER_PORT": "7"}, "127.0.0.1:7", id="both"),
        pytest.param({"HOLDFAST_SERVER_TLS_CERT": "/c"}, "holdfast+tls://127.0.0.1:5600", id="TLS"),
        pytest.param(
            {"HOLDFAST_SERVER_UNIX": "/h", "HOLDFAST_SERVER_PORT": "7", "HOLDFAST_SERVER_TLS_CERT": "/c"},
            "unix:/h",
            id="TLS and a socket",
        ),
    ],
)
def test_the_health_check_asks_where_the_server_listens(environment: dict[str, str], address: str):
    assert default_address(environment) == address


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317"}, "http://a:4317", id="general"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:1"},
            "http://b:1",
            id="traces",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "HOLDFAST_SERVER_TRACE_ENDPOINT": "http://c:1"},
            "http://c:1",
            id="ours",
        ),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_SDK_DISABLED": "true"}, "", id="disabled"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_TRACES_EXPORTER": "none"}, "", id="no traces"),
        pytest.param({}, "", id="off"),
    ],
)
def test_the_standard_variables_of_opentelemetry_hold(environment: dict[str, str], endpoint: str):
    assert read([], environment).config.trace_endpoint == endpoint


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--metrics-address=9464"], id="metrics without a host"),
        pytest.param(["--metrics-address=::1:9464"], id="metrics on IPv6 without brackets"),
        pytest.param(["--metrics-address=127.0.0.1:x"], id="metrics on no port"),
        pytest.param(["--metrics-address=0.0.0.0:9464"], id="metrics for everybody"),
        pytest.param(["--trace-endpoint=127.0.0.1:4317"], id="traces without a scheme"),
        pytest.param(["--trace-endpoint=http://user:secret@host"], id="traces with credentials"),
        pytest.param(["--log-format=xml"], id="log format"),
        pytest.param(["--access-log=warning"], id="access log"),
        pytest.param(["--probe-interval=0"], id="probe interval"),
    ],
)
def test_settings_for_operating_are_checked(arguments: list[str]):
    with pytest.raises(UsageError, match=arguments[0].partition("=")[0]):
        read(arguments, {})


@pytest.mark.parametrize("said", ["--metrics-open", "--insecure"])
def test_metrics_for_everybody_are_served_when_that_is_said(said: str):
    config = read(["--metrics-address=0.0.0.0:9464", said], {}).config
    assert config.metrics_address == "0.0.0.0:9464"


def test_open_metrics_open_no_other_port():
    with pytest.raises(UsageError, match="without TLS"):
        read(["--host=0.0.0.0", "--metrics-address=0.0.0.0:9464", "--metrics-open"], {})
