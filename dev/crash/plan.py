"""What happens in each round, drawn from the seed: the same seed kills the same processes after the same times."""

import dataclasses
import random

# Three rounds in five; the others kill a part of it.
EVERYTHING = "everything"
PARTS_IN_FIVE = (3, 0)
# One connection of Postgres to weir: Postgres then ends all others as well and recovers.
POSTGRES_SESSION = "a Postgres session"

# Events in a request, and connections that send such requests at once: few for large ones, to spare the disk.
BATCHES = {1: 32, 50: 8, 1000: 2}


@dataclasses.dataclass(frozen=True)
class Round:
    number: int
    what: str
    # Names of processes; with EVERYTHING the supervisor as well.
    victims: tuple
    kill_after: float
    # Kill everything once more so long after the next start has begun.
    kill_again_after: float | None
    kills_load: bool
    batch: int
    connections: int
    gzip: bool
    # Whether the load goes on until everything that it has sent is answered, or is stopped in the middle.
    load_is_patient: bool
    # How long the load goes on: after the kill, or once all is up again.
    load_after: float
    load_seed: int
    # What the capped tenant may send more than before.
    cap_step: int


def rounds(seed, count, weir, stores):
    """`count` rounds for processes of these names."""
    chance = random.Random(seed)
    parts = parts_of(chance, weir, stores)
    batches = []
    for number in range(1, count + 1):
        batches = batches or chance.sample(list(BATCHES), len(BATCHES))
        batch = batches.pop()
        what, victims = next(parts) if number % 5 in PARTS_IN_FIVE else (EVERYTHING, (*weir, *stores))
        is_everything = what == EVERYTHING
        yield Round(
            number=number,
            what=what,
            victims=victims,
            kill_after=round(chance.uniform(1, 4), 2),
            kill_again_after=round(chance.uniform(0.3, 6), 2) if is_everything and chance.random() < 0.25 else None,
            kills_load=chance.random() < 0.25,
            batch=batch,
            connections=BATCHES[batch],
            gzip=chance.random() < 0.3,
            load_is_patient=chance.random() < 0.5,
            load_after=round(chance.uniform(0.5, 4), 2),
            load_seed=chance.getrandbits(62),
            cap_step=chance.randrange(2_000, 30_000),
        )


def parts_of(chance, weir, stores):
    """Every single part once in random order, then pairs."""
    parts = {"weir": tuple(weir), POSTGRES_SESSION: (POSTGRES_SESSION,), **{store: (store,) for store in stores}}
    singles = list(parts)
    if len(weir) > 1:
        singles.append("some of weir")
    for name in chance.sample(singles, len(singles)):
        yield drawn(chance, name, parts, weir)
    while True:
        two = chance.sample(["weir", *stores], 2)
        yield " + ".join(two), tuple(victim for name in two for victim in parts[name])


def drawn(chance, name, parts, weir):
    if name in parts:
        return name, parts[name]
    some = tuple(sorted(chance.sample(weir, chance.randrange(1, len(weir)))))
    return " ".join(some), some
