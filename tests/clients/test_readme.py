"""The README's first session, and what docs/api.md adds to it, pasted into a shell as a reader would."""

import re

import pytest
from pasted import paste
from server import REPOSITORY

pytestmark = pytest.mark.usefixtures("ports")

DOCUMENTS = (REPOSITORY / "README.md", REPOSITORY / "docs/api.md")


def drill() -> str:
    """The block that loses a disk."""
    text = (REPOSITORY / "README.md").read_text()
    return re.search(r"<!-- drill:.*?```sh\n(.*?)```", text, re.DOTALL)[1]


def session() -> list[str]:
    """The shell blocks of both, between the marker and the next heading."""
    blocks = []
    for document in DOCUMENTS:
        text = document.read_text() + "\n## "
        start = text.index("<!-- session:")
        end = text.index("\n## ", start)
        blocks += re.findall(r"```sh\n(.*?)```", text[start:end], re.DOTALL)
    return blocks


# Texts that each block prints at its first run, whether others ran before it or not.
PRINTED = [
    [
        "whimbrel.v1.FeedService",
        "Publishes a post",
        '"text": "Hello, Alice."',
        '"changed": true',
        '"caughtUp"',
        "SELF_FOLLOW",
    ],
    ["bob", "It rains on the mud flats.", "The tide comes in.", "carol no longer follows bob"],
    ["carol now likes p", "carol replied to p", "dave reposted p", "bob deleted p"],
]


def test_the_session_has_as_many_blocks_as_are_tested():
    """Every block has its texts here."""
    assert len(session()) == len(PRINTED)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_each_block_stands_alone(serving, tmp_path, number):
    """On new data, without the other blocks."""
    printed = paste(session()[number], tmp_path)
    for line in PRINTED[number]:
        assert line in printed, printed


def test_the_blocks_follow_one_another_and_again(serving, tmp_path):
    """In the order of the documents, and a second time on the same data."""
    for block, expected in zip(session(), PRINTED, strict=True):
        printed = paste(block, tmp_path)
        for line in expected:
            assert line in printed, printed
    for block in session():
        paste(block, tmp_path)


def test_the_second_watch_shows_what_the_first_had_not(serving, tmp_path):
    """It shows the posts that were published in between, and no post twice."""
    printed = paste(session()[1], tmp_path)
    assert "carol now follows bob" in printed
    # As published, in the feed, and in the first watch; the other one also in the second watch.
    assert printed.count("    It rains on the mud flats.") == 3, printed
    assert printed.count("    The tide comes in.") == 2, printed


def test_a_lost_disk_is_put_back(tmp_path):
    """In the order of the block: the figures, the backup, the restored log without damage, and the post of before."""
    rest = printed = paste(drill(), tmp_path)
    for line in [
        "Before the fire.",
        "revision 1",
        "1 event of the log",
        "restored 1 event",
        "no damage",
        "Before the fire.",
    ]:
        assert line in rest, f"{line!r} is not in the rest of:\n{printed}"
        rest = rest.split(line, 1)[1]
