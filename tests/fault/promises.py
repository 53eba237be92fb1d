"""What must be true of a store after a program died, and after another one has gone on."""

from collections import Counter
from typing import Any

from tests.fault.program import Way
from tests.fault.shapes import CONFIG, LABELS, SHAPES, labels_of


def lost(way: Way, saver: Any, lines: list[str]) -> list[str]:
    """Say what of the acknowledged is missing, before anything runs again."""
    acknowledged, checkpoints = of_lines(lines)
    stored = {id_of(entry) for entry in saver.list(CONFIG)}
    broken = [f"checkpoint {c} lost" for c in checkpoints if c not in stored]
    state = SHAPES[way.shape](saver, lambda label: None).get_state(CONFIG, subgraphs=True)
    present = labels(saver)
    broken += [f"write of {label} lost" for label in acknowledged - present]
    if checkpoints and not LABELS[way.shape] <= present and not state.next:
        broken.append(f"get_state says that nothing is next, with only {sorted(present)} done")
    flat = {label.split()[0] for label in acknowledged}
    broken += [f"get_state says that {name} is next, which is done" for name in state.next if name in flat]
    return broken


def of_lines(lines: list[str]) -> tuple[set[str], list[tuple[str, str]]]:
    """Return the labels and the checkpoints that a log says were acknowledged."""
    acknowledged = {line.removeprefix("acked ") for line in lines if line.startswith("acked ")}
    checkpoints = [line.split()[1:] for line in lines if line.startswith("checkpoint ")]
    return acknowledged, [(ns, checkpoint_id) for ns, checkpoint_id in checkpoints]


def labels(saver: Any) -> set[str]:
    """Return the labels that the store has anywhere."""
    found: set[str] = set()
    for entry in saver.list(CONFIG):
        found.update(entry.checkpoint["channel_values"].get("items", ()))
        for _, channel, value in entry.pending_writes or ():
            found.update(labels_of(channel, value))
    return found


def id_of(entry: Any) -> tuple[str, str]:
    configurable = entry.config["configurable"]
    return configurable["checkpoint_ns"] or "-", configurable["checkpoint_id"]


def run_again(before: list[str], lines: list[str]) -> list[str]:
    """Say what ran more than once although it was acknowledged before the program died."""
    runs = Counter(line.removeprefix("ran ") for line in lines if line.startswith("ran "))
    acknowledged, _ = of_lines(before)
    return [f"{label} was finished, and ran again" for label in sorted(acknowledged) if runs[label] > 1]


def unlike_the_end(way: Way, saver: Any) -> list[str]:
    """Say what is wrong at the end, where each label is once in the state."""
    items = SHAPES[way.shape](saver, lambda label: None).get_state(CONFIG).values.get("items", [])
    if Counter(items) == Counter(["in", *LABELS[way.shape]]):
        return []
    return [f"the state is {items}"]


def forks(saver: Any) -> list[str]:
    """Say which checkpoints have more than one child: two runs went on from the same one."""
    children = Counter(
        (id_of(entry)[0], entry.parent_config["configurable"]["checkpoint_id"])
        for entry in saver.list(CONFIG)
        if entry.parent_config is not None
    )
    return [f"checkpoint {parent} has {many} children" for parent, many in children.items() if many > 1]
