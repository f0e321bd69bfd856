"""Every file operation of creation, append, group, roll, close and recovery is struck, each way.

A run is repeated by what a failure names: ``Scripted(scene, strikes, seed).play()``.
"""

import logging
from collections.abc import Iterator

import pytest

from tests.crash.scripted import KINDS, SCENES, Scene, Scripted, Strike

UNSTRUCK_SEEDS = 24  # of what a power cut leaves; under odd ones lying pages are dropped
_OTHER_STRIKES = 20  # so many of a scene's that are not its every death, in the normal run
_REFUSALS = ("interrupted before", "input/output error", "full disk")
_NEEDING_ROOM = {"open", "pwrite", "ftruncate", "link", "rename", "mkdir"}
RECOVERIES = [scene for scene in SCENES if "recovery" in scene.name or "finished" in scene.name]
# What shows that a scene is what its name says.
_TELLING = {
    "close": "fdatasync",
    "creation": "mkdir",
    "append": "fdatasync",
    "roll": "link",
    "recovery of half a write": "mkdir",
    "recovery of a whole write": "ftruncate",
    "recovery of a roll": "link",
    "recovery by an open handle": "mkdir",
    "roll finished by an open handle": "link",
    "new segment found by an open handle": "sync_directory",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def operations_of(scene: Scene) -> list[str]:
    """Names of the file operations of a scene's act."""
    run = Scripted(scene)
    run.play()
    return run.operations[len(scene.steps) - 1]


def strikes_on(names: list[str]) -> Iterator[Strike]:
    """Every kind of fault at every operation where it makes a difference."""
    for at, name in enumerate(names):
        for kind, (fault, _) in KINDS.items():
            # Outside of writes the middle is the start.
            is_repeated = fault.moment == "middle" and fault.kind != "error" and name != "pwrite"
            # Death before an operation is death behind the one before.
            is_repeated |= fault.kind == "kill" and fault.moment == "before" and at > 0
            if not is_repeated:
                yield Strike(kind, at)


def play(scene: Scene, strikes: tuple[Strike, ...], seed: int) -> Scripted:
    """Run a scene, naming it on failure."""
    run = Scripted(scene, strikes, seed)
    try:
        run.play()
    except BaseException as error:
        steps = "\n".join(run.log)
        error.add_note(f"Scripted({scene!r}, {strikes!r}, {seed}); its steps:\n{steps}")
        raise
    return run


def strikes_in_the_normal_run(scene: Scene, names: list[str]) -> Iterator[Strike]:
    """Every death, of the process or by a power cut, and some of the other strikes.

    Where anything is sealed, which takes longer, every power cut. Recoveries have a test of their own.
    """
    others = []
    for strike in strikes_on(names):
        fault, is_power_cut = KINDS[strike.kind]
        if is_power_cut or (fault.kind == "kill" and not scene.tends):
            yield strike
        else:
            others.append(strike)
    if scene not in RECOVERIES:
        yield from others[:: max(1, len(others) // _OTHER_STRIKES)]


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_every_operation_once(scene: Scene) -> None:
    """Whatever happens at whichever operation, nothing acknowledged is lost or split."""
    names = operations_of(scene)
    assert _TELLING.get(scene.name, "flock") in names
    cut = set()
    for seed, strike in enumerate(strikes_in_the_normal_run(scene, names)):
        play(scene, (strike,), seed)
        if KINDS[strike.kind][1]:
            cut.add(strike.at)
    assert cut == {*range(len(names))}


@pytest.mark.parametrize("kind", _REFUSALS)
@pytest.mark.parametrize("scene", RECOVERIES, ids=[scene.name for scene in RECOVERIES])
def test_a_recovery_is_refused_or_interrupted_anywhere(scene: Scene, kind: str) -> None:
    """Each of its operations fails or is interrupted, and whoever comes next recovers."""
    for at, name in enumerate(operations_of(scene)):
        if kind != "full disk" or name in _NEEDING_ROOM:
            play(scene, (Strike(kind, at),), at)


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_every_operation(scene: Scene, reliability_factor: int) -> None:
    """Every kind of fault at every operation, with several outcomes of each power cut."""
    for strike in strikes_on(operations_of(scene)):
        for seed in range(2 * reliability_factor):
            play(scene, (strike,), seed)


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_scenes_without_a_further_fault(scene: Scene) -> None:
    """What a scene itself leaves behind survives power cuts of all kinds."""
    for seed in range(UNSTRUCK_SEEDS):
        play(scene, (), seed)


def nested(scene: Scene, stride: int) -> None:
    """Strike at the act and, after that, at every ``stride``-th operation of the next opening."""
    turn = 0
    for strike in strikes_on(operations_of(scene)):
        run = play(scene, (strike,), 1)
        following = max(run.operations[len(scene.steps) :], key=len)
        for second in strikes_on(following):
            turn += 1
            if turn % stride == 0:
                play(scene, (strike, second), turn)


@pytest.mark.parametrize("scene", SCENES[1:5], ids=[scene.name for scene in SCENES[1:5]])
def test_a_struck_recovery_is_struck_again(scene: Scene) -> None:
    """Recovery may itself be killed, cut off or refused at some of its operations."""
    nested(scene, stride=211)


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_every_operation_of_every_struck_recovery(scene: Scene, reliability_factor: int) -> None:
    """The same at every operation of every recovery, in the long run."""
    nested(scene, stride=max(1, 20 // reliability_factor))
