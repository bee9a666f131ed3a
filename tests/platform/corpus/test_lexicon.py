"""The lexicon: signs have different forms and are made of known parts."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from cico_platform.corpus.synthesis.anatomy import hand_outline
from cico_platform.corpus.synthesis.handshapes import HANDSHAPES
from cico_platform.corpus.synthesis.lexicon import DIRECTIONS, FACINGS, LEXICON, MOVEMENTS, PLACES
from cico_platform.corpus.synthesis.movement import POSE_SIZE, REST, Style, sign_poses, way


def test_there_are_more_than_sixty_signs_and_no_two_have_the_same_form() -> None:
    assert len(LEXICON) >= 60
    assert len({sign.form for sign in LEXICON.values()}) == len(LEXICON)


def test_every_sign_is_made_of_known_parts() -> None:
    for sign in LEXICON.values():
        assert {sign.hand, sign.into or sign.hand, sign.base} <= set(HANDSHAPES), sign
        assert sign.place in PLACES, sign
        assert sign.movement in MOVEMENTS, sign
        assert sign.fingers in DIRECTIONS, sign
        assert sign.faces in FACINGS, sign


def test_some_signs_differ_in_a_single_part() -> None:
    differences = Counter(
        next(i for i, (x, y) in enumerate(zip(a.form, b.form, strict=True)) if x != y)
        for a, b in combinations(LEXICON.values(), 2)
        if sum(x != y for x, y in zip(a.form, b.form, strict=True)) == 1
    )
    assert sum(differences.values()) >= 4
    assert len(differences) >= 2, "minimal pairs should not all be of one kind"


def test_no_two_signs_put_the_hands_in_the_same_places() -> None:
    u = (np.arange(16) + 0.5) / 16
    outlines = {}
    for gloss, sign in LEXICON.items():
        poses = sign_poses(sign, u, Style())
        points = []
        for hand in (0, 1):
            pose = poses[:, hand]
            if np.isnan(pose).any():
                pose = np.broadcast_to(REST, (16, POSE_SIZE))
            outline = hand_outline(pose, 1.12)
            points += [outline.palm, outline.fingers.reshape(16, -1, 2), outline.thumb]
        outlines[gloss] = np.concatenate(points, axis=1)
    for (a, first), (b, second) in combinations(outlines.items(), 2):
        moved = np.linalg.norm(first - second, axis=-1)
        # A finger's length is 0.4: its tip must be elsewhere for a good part of the sign.
        assert moved.max(axis=1).mean() > 0.2, f"{a} looks like {b}"


@pytest.mark.parametrize("movement", [m for m in MOVEMENTS if m not in ("hold", "wiggle")])
def test_every_movement_moves(movement: str) -> None:
    assert np.ptp(way(movement, np.linspace(0, 1, 20)), axis=0).max() > 0.2


# The screenplay
