"""Names for runs and models that came without one: ``adjective-noun-123``."""
# ruff: noqa: SIM905 - lists of literals would be two hundred lines

from __future__ import annotations

import hashlib

_ADJECTIVES = (
    "able agile amber ample azure bold brave breezy bright brisk calm candid careful cheerful clear clever cobalt "
    "cosmic crisp curious dapper daring deft eager early earnest easy elegant fabled fair faithful fearless fine "
    "fleet fluent fond frank free fresh gentle gifted glad golden graceful grand happy hardy honest humble ideal "
    "jolly keen kind lively loyal lucid lucky mellow merry mighty modest neat nimble noble novel orderly patient "
    "placid plucky polite prime proud quick quiet rapid ready rosy rustic sage serene sharp silent silver sincere "
    "skilled smart smooth snug solid spry stable steady stellar sturdy sunny sure swift tidy tranquil trusty "
    "upbeat valiant vivid warm wise witty zesty"
).split()
_NOUNS = (
    "acorn alder anchor ant aspen badger basin bay beacon bear beaver bison brook canyon cedar cliff cloud comet "
    "coral cove crane creek cricket deer delta dolphin dove dune eagle elk elm ember falcon fern finch fir fjord "
    "forest fox gale geyser glacier glade grove gull harbor hare hawk heron hill ibis iris island jay juniper "
    "koala lagoon lake lark lemur lichen lily lynx maple marsh meadow mesa mink moon moose moss newt oak oasis "
    "orca orchid osprey otter owl panda peak pebble pine plover pond puffin quail rain raven reef ridge river "
    "robin rook salmon seal shore sparrow spruce squirrel star stone stork summit swan thrush tide trout tulip "
    "valley vole walrus willow wren"
).split()


def make_name(resource_id: str) -> str:
    """A name for the resource of this id; the same id always gets the same one."""
    number = int.from_bytes(hashlib.sha256(resource_id.encode()).digest()[:8], "big")
    number, adjective = divmod(number, len(_ADJECTIVES))
    number, noun = divmod(number, len(_NOUNS))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[noun]}-{number % 1_000}"
