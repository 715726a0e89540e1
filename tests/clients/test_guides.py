"""The blocks of the guides in docs/guides, each alone on new data, print what the guides say.

A block is followed by a block of text: the lines that are found in what it prints. Never runs a block
of another document.
"""

import re

import pytest
from pasted import generate_client, paste
from server import REPOSITORY

pytestmark = pytest.mark.usefixtures("ports")

GUIDES = sorted((REPOSITORY / "docs/guides").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples() -> list:
    """Each block that is run, with the lines that the guide says it prints."""
    found = []
    for guide in GUIDES:
        blocks = BLOCK.findall(guide.read_text())
        for (language, code), (kind, printed) in zip(blocks[::2], blocks[1::2], strict=True):
            assert (language in ("sh", "python"), kind) == (True, "text"), guide
            name = f"{guide.stem}-{language}-{len(found)}"
            found.append(pytest.param(language, code, printed.splitlines(), id=name))
    return found


def test_the_guides_have_examples():
    """Every guide has one."""
    assert len(GUIDES) > 4
    assert all(BLOCK.search(guide.read_text()) for guide in GUIDES)


@pytest.mark.parametrize(("language", "code", "printed"), examples())
def test_an_example_prints_what_its_guide_says(serving, tmp_path, language, code, printed):
    """In their order."""
    if language == "python":
        generate_client(tmp_path)
    output = paste(code, tmp_path, language)
    rest = output
    for line in printed:
        assert line in rest, f"{line!r} is not in the rest of:\n{output}"
        rest = rest.split(line, 1)[1]
