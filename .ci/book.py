"""Gathers the sources of the book, and checks the links of the built book. Used by .ci/book.

The documents link to one another and to sources as files of the repository. The book has them in the
same folders, so their links need no change. Only the links in docs/SUMMARY.md get other paths: mdBook
wants that file at the top of the sources.
"""

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPOSITORY = Path(__file__).resolve().parents[1]
SUMMARY = REPOSITORY / "docs/SUMMARY.md"
LINK = re.compile(r"\]\(([^)#\s]+)")
# Pages that mdBook makes, and that repeat the others.
REPEATED = {"print.html", "404.html", "toc.html"}


def linked(document: Path) -> set[Path]:
    """The files in the repository that a document links to."""
    targets = (target for target in LINK.findall(document.read_text()) if "://" not in target)
    return {path for target in targets if (path := (document.parent / target).resolve()).is_file()}


def gather(folder: Path):
    """Copies the documents in SUMMARY.md, and all files that they link to, into `folder`."""
    if folder.exists():
        shutil.rmtree(folder)
    documents = linked(SUMMARY)
    files = documents.union(*map(linked, documents))
    for file in files:
        assert file.suffix != ".md" or file in documents, f"{file} is linked, and not in SUMMARY.md"
        target = folder / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    summary = SUMMARY.read_text().replace("](", "](docs/").replace("](docs/../", "](")
    (folder / "SUMMARY.md").write_text(summary)


class Page(HTMLParser):
    """The ids of a page, and where it leads."""

    def __init__(self, file: Path):
        super().__init__()
        self.ids, self.targets = set(), set()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        for name in ("href", "src"):
            if attributes.get(name):
                self.targets.add(attributes[name])


def check(folder: Path):
    """Ends with an error if a link of a page leads to no file or to no heading."""
    pages = {file: Page(file) for file in folder.rglob("*.html") if file.name not in REPEATED}
    broken = []
    for file, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            path = path / "index.html" if path.is_dir() else path
            anchor = unquote(parts.fragment)
            if not path.is_file():
                broken.append(f"{file.relative_to(folder)}: {target} does not exist")
            elif anchor and path in pages and anchor not in pages[path].ids:
                broken.append(f"{file.relative_to(folder)}: {target} is no heading")
    links = sum(len(page.targets) for page in pages.values())
    print(f"{len(pages)} pages, {links} links, {len(broken)} broken")
    if broken or len(pages) < 2:
        sys.exit("\n".join(sorted(broken)) or "the pages were not found")


if __name__ == "__main__":
    {"gather": gather, "check": check}[sys.argv[1]](Path(sys.argv[2]).resolve())
