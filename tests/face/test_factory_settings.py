"""Settings: every key, with and without the application's name, right and wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment

from aurora_es import (
    AuroraConfigurationError,
    AuroraError,
    AuroraFactory,
    CompressionFormat,
    RollCycle,
    Sync,
)
from tests.face.support import OpenFactory, Script, event, factory_on, names_below

GOOD = {
    "AURORA_SYNC": ["always", "never", "1ms", "60000ms", " Always "],
    "AURORA_ROLL_CYCLE": [
        "minute",
        "five_minutes",
        "hour",
        "day",
        "week",
        "1048576B",
        "1024KiB",
        "1MiB",
        "1GiB",
        "1events",
        "day+64MiB+1000events",
        "1000events + hour",
    ],
    "AURORA_COMPRESSION": ["none", "lz4", "snappy", "LZ4"],
    "AURORA_LOCK_TIMEOUT": ["0", "2.5", "86400"],
    "AURORA_READ_ONLY": ["y", "n", "Yes", "false", "1", "off"],
    "AURORA_POLL_INTERVAL": ["0.05", "1", "3600"],
    "AURORA_MAPPER": ["json", "msgpack", "JSON"],
    "AURORA_BACKGROUND": ["y", "n"],
    "AURORA_COOL_AFTER": ["24h", "0h"],
    "AURORA_ALLOW_NETWORK_FILE_SYSTEM": ["y", "n"],
    "ORIGINATOR_ID_TYPE": ["as written", "uuid", "text", "UUID"],
}
# A word that the message has to contain, because it is among the values allowed; wrong values.
BAD = {
    "AURORA_SYNC": ("always", ["sometimes", "-1ms", "1.5ms", "1s"]),
    "AURORA_ROLL_CYCLE": (
        "five_minutes",
        ["year", "64mib", "day+", "+", "1.5MiB"],
    ),
    "AURORA_COMPRESSION": ("snappy", ["zip", "lz4+snappy"]),
    "AURORA_LOCK_TIMEOUT": ("86400", ["-1", "soon", "nan", "inf", "86401"]),
    "AURORA_READ_ONLY": ("y or n", ["maybe", "2"]),
    "AURORA_POLL_INTERVAL": ("86400", ["-0.1", "often"]),
    "AURORA_MAPPER": ("msgpack", ["xml"]),
    "AURORA_BACKGROUND": ("y or n", ["sometimes"]),
    "AURORA_COOL_AFTER": ("24h", ["24", "h", "-1h", "1.5h", "²h"]),
    "AURORA_ALLOW_NETWORK_FILE_SYSTEM": ("y or n", ["nfs"]),
    "ORIGINATOR_ID_TYPE": ("as written", ["int"]),
}
OUT_OF_RANGE = {
    "AURORA_SYNC": ["0ms", "60001ms"],
    "AURORA_ROLL_CYCLE": ["0events", "1048577events", "1KiB", "2GiB", "day+hour", "1MiB+2MiB"],
}
MISSPELLED = {
    "AURORA_PATHS": "AURORA_PATH",
    "AURORA_SYNCH": "AURORA_SYNC",
    "AURORA_ROLLCYCLE": "AURORA_ROLL_CYCLE",
    "AURORA_COMPRESION": "AURORA_COMPRESSION",
    "AURORA_LOCK_TIME_OUT": "AURORA_LOCK_TIMEOUT",
    "AURORA_READONLY": "AURORA_READ_ONLY",
    "AURORA_POLL_INTERVALL": "AURORA_POLL_INTERVAL",
    "BANK_AURORA_SYNCS": "AURORA_SYNC",
}
AMAZONS = """
    AURORA_HOST AURORA_PORT AURORA_USER AURORA_PASSWORD AURORA_DATABASE AURORA_DB_NAME AURORA_DSN
    AURORA_CLUSTER_ENDPOINT AURORA_CLUSTER_ARN AURORA_SECRET_ARN AURORA_READER_ENDPOINT
    AURORA_WRITER_ENDPOINT AURORA_ENGINE AURORA_REGION AURORA_MIN_CAPACITY AURORA_POOL_SIZE
    AURORA_MYSQL_HOST AURORA_POSTGRESQL_URL AURORA_CONNECTION_TIMEOUT AURORA_ENDPOINT PATH_AURORA_
""".split()

# Constructs a factory and tells what it did to the file system.
_WATCH = """
import sys
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory
seen = []
sys.addaudithook(
    lambda name, arguments: seen.append(name) if name == "open" or name.startswith("os.") else None
)
for name in ("App", "..", "x" * 300):
    AuroraFactory(Environment(name, {"AURORA_PATH": sys.argv[1]}))
print(seen, flush=True)
"""


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in GOOD for value in GOOD[key]])
def test_a_right_value_is_taken(tmp_path: Path, key: str, value: str) -> None:
    """Every value that the documentation names is understood, with the name's prefix too."""
    factory_on(tmp_path, **{key: value})
    factory_on(tmp_path, **{f"APP_{key}": value})


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [(key, word, value) for key, (word, values) in BAD.items() for value in values],
)
def test_a_wrong_value_is_refused(tmp_path: Path, key: str, word: str, value: str) -> None:
    """The error is an OSError, names keys tried, values allowed and the value found."""
    with pytest.raises(AuroraConfigurationError) as caught:
        factory_on(tmp_path, **{key: value})
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, AuroraError)
    message = str(caught.value)
    for text in (f"APP_{key}, {key}", "expected", word, repr(value)):
        assert text in message


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key in OUT_OF_RANGE for value in OUT_OF_RANGE[key]]
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, key: str, value: str) -> None:
    """A bound that is too low, too high or given twice is a wrong value as well."""
    with pytest.raises(AuroraConfigurationError, match=f"APP_{key}, {key}"):
        factory_on(tmp_path, **{key: value})


def test_an_application_without_a_name_has_one_key(tmp_path: Path) -> None:
    """The message names no key that would not be looked up."""
    with pytest.raises(AuroraConfigurationError, match="looked up as AURORA_SYNC\\)"):
        factory_on(tmp_path, "", AURORA_SYNC="x")


@pytest.mark.parametrize("settings", [{}, {"AURORA_PATH": ""}, {"OTHER_AURORA_PATH": "x"}])
def test_a_path_is_required(settings: dict[str, str]) -> None:
    """Without AURORA_PATH nothing works, and the message says under which keys it was missed."""
    with pytest.raises(AuroraConfigurationError, match="APP_AURORA_PATH, AURORA_PATH"):
        AuroraFactory(Environment("App", settings))


def test_a_prefixed_key_wins(tmp_path: Path) -> None:
    """The application's own setting beats that of all applications, root directory included."""
    factory = factory_on(
        tmp_path / "all",
        APP_AURORA_PATH=str(tmp_path / "own"),
        AURORA_SYNC="never",
        APP_AURORA_SYNC="5ms",
        AURORA_LOCK_TIMEOUT="1",
        APP_AURORA_LOCK_TIMEOUT="2",
    )
    assert factory.store.path == str(tmp_path / "own" / "App")
    assert factory.store.options.settings.sync == Sync.interval(5)
    assert factory.store.options.lock_timeout == 2


def test_settings_reach_the_journal(open_factory: OpenFactory) -> None:
    """What is set is what the journal records and what its handle uses."""
    recorder = open_factory(
        AURORA_SYNC="250ms",
        AURORA_ROLL_CYCLE="hour+1000events",
        AURORA_COMPRESSION="snappy",
        AURORA_LOCK_TIMEOUT="7.5",
        AURORA_POLL_INTERVAL="9",
    ).application_recorder()
    recorder.insert_events([event()])
    handle = recorder.journal.handle
    assert handle.sync_mode == Sync.interval(250)
    assert handle.roll_cycle == RollCycle.HOUR | RollCycle.events(1000)
    assert handle.compression == CompressionFormat.SNAPPY
    assert handle.lock_timeout == 7.5
    assert recorder.store.options.poll_interval == 9


def test_defaults(open_factory: OpenFactory) -> None:
    """Without settings commits are durable, segments are a day's, nothing is compressed."""
    recorder = open_factory(AURORA_LOCK_TIMEOUT="").application_recorder()
    recorder.insert_events([event()])
    statistics = recorder.journal.statistics()
    assert (statistics.sync, statistics.roll_cycle, statistics.compression) == (
        "always",
        "day",
        "none",
    )
    assert recorder.journal.handle.lock_timeout == 5


def test_another_sync_mode_than_the_recorded_one_is_refused(open_factory: OpenFactory) -> None:
    """Durability never changes by a typing error in an environment variable."""
    first = open_factory(AURORA_SYNC="never")
    first.application_recorder().insert_events([event()])
    with pytest.raises(AuroraConfigurationError, match="AURORA_SYNC"):
        open_factory(AURORA_SYNC="always").application_recorder()
    first.close()
    with pytest.raises(AuroraConfigurationError, match="AURORA_SYNC"):
        open_factory(AURORA_SYNC="always").application_recorder()
    assert open_factory().application_recorder().max_notification_id() == 1


@pytest.mark.parametrize("key", MISSPELLED)
def test_a_misspelled_key_is_named(tmp_path: Path, key: str) -> None:
    """A key close to one of ours is a warning that names both, and is ignored."""
    with pytest.warns(UserWarning, match=f"{key} .* did you mean {MISSPELLED[key]}\\?"):
        factory_on(tmp_path, **{key: "nonsense"})


def test_keys_of_amazon_aurora_are_left_alone(tmp_path: Path) -> None:
    """Teams that use the database of that name have such variables; no warning, no error."""
    factory_on(tmp_path, **dict.fromkeys(AMAZONS, "nonsense"))


def test_keys_of_sql_backends_are_ignored(open_factory: OpenFactory) -> None:
    """CREATE_TABLE and SINGLE_ROW_TRACKING may stay where they are, whatever their value."""
    factory = open_factory(CREATE_TABLE="n", SINGLE_ROW_TRACKING="nonsense")
    assert factory.process_recorder().insert_events([event()]) == [1]


def test_constructing_a_factory_touches_no_file(tmp_path: Path) -> None:
    """Followers construct factories of their leaders only for a mapper."""
    with Script(_WATCH, str(tmp_path / "absent" / "deep")) as script:
        assert script.hear() == "[]"
        script.end()
    assert names_below(tmp_path) == []


def test_a_relative_path_is_that_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the working directory later does not change the store."""
    monkeypatch.chdir(tmp_path)
    factory = factory_on("store")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recorder = factory.application_recorder()
    recorder.insert_events([event()])
    factory.close()
    assert os.listdir(tmp_path / "elsewhere") == []
    assert "store/App/events/manifest" in names_below(tmp_path)


@pytest.mark.parametrize("topic", ["aurora_es", "aurora_es:AuroraFactory", "aurora_es:Factory"])
def test_the_library_finds_the_factory(tmp_path: Path, topic: str) -> None:
    """PERSISTENCE_MODULE may name the package or the class."""
    env = {"PERSISTENCE_MODULE": topic, "AURORA_PATH": str(tmp_path)}
    assert type(InfrastructureFactory.construct(Environment("App", env))) is AuroraFactory
