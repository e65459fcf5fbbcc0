# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's documents and questions, made deterministically from the word lists below.

Nothing is downloaded and nothing random is left in: the same seed gives the same corpus.
"""

import random
import re

TOPICS = {
    "storage": "disk volume block journal snapshot replica inode mount cache sector array quota backup",
    "network": "socket packet route gateway firewall switch tunnel latency bandwidth proxy handshake",
    "database": "index query transaction cursor schema replica shard vacuum planner lock row trigger",
    "kitchen": "oven dough yeast butter flour knife skillet broth spice simmer glaze batter crust",
    "garden": "soil seedling compost pruning trellis bulb mulch hedge greenhouse irrigation pollen",
    "rail": "signal platform locomotive carriage junction timetable siding ballast gauge conductor",
    "sailing": "keel rudder mast halyard harbour anchor tide mooring compass sextant spinnaker",
    "medicine": "dose fever vaccine antibody artery tissue surgeon diagnosis symptom therapy clinic",
    "law": "contract clause statute appeal verdict witness plaintiff licence tribunal precedent",
    "music": "chord melody rhythm cello tempo octave overture quartet harmony fugue conductor",
    "weather": "storm pressure humidity cyclone frost drizzle barometer front thunder glacier",
    "astronomy": "orbit comet nebula telescope eclipse parallax pulsar galaxy spectrum asteroid",
}
ADJECTIVES = (
    "slow broken recent shallow heavy narrow stable remote ancient gentle noisy cold brittle spare "
    "hidden regular uneven bright worn secondary careful common rare partial"
).split()
VERBS = (
    "protects delays follows replaces measures reaches damages repairs supports limits shapes "
    "exhausts precedes describes balances interrupts restores weakens"
).split()
PLACES = "near before after inside beyond without behind above during against".split()

_WORD = re.compile(r"[a-z]+")


def tokenize(text):
    """Lower-case words of `text`, in order."""
    return _WORD.findall(text.lower())


def _sentence(rng, nouns):
    return "The %s %s %s the %s %s %s the %s." % (
        rng.choice(ADJECTIVES),
        rng.choice(nouns),
        rng.choice(VERBS),
        rng.choice(ADJECTIVES),
        rng.choice(nouns),
        rng.choice(PLACES),
        rng.choice(nouns),
    )


def documents(count, seed=1):
    """`count` texts of three to five sentences, each about one topic."""
    rng = random.Random(seed)
    nouns_by_topic = [words.split() for words in TOPICS.values()]
    texts = []
    for _ in range(count):
        nouns = rng.choice(nouns_by_topic)
        texts.append(" ".join(_sentence(rng, nouns) for _ in range(rng.randint(3, 5))))
    return texts


def questions(seed=1, repeat_share=0.15):
    """Endless questions; about `repeat_share` of them were asked before, so that a cache can hit."""
    rng = random.Random(seed)
    nouns_by_topic = [words.split() for words in TOPICS.values()]
    asked = []
    while True:
        if asked and rng.random() < repeat_share:
            yield rng.choice(asked[-64:])
            continue
        nouns = rng.choice(nouns_by_topic)
        question = "Why does the %s %s need a %s %s %s the %s?" % (
            rng.choice(ADJECTIVES),
            rng.choice(nouns),
            rng.choice(ADJECTIVES),
            rng.choice(nouns),
            rng.choice(PLACES),
            rng.choice(nouns),
        )
        asked.append(question)
        yield question
