"""Writes the software bill of materials (SBOM, CycloneDX 1.5) of a built program, and checks it.

    python3 .ci/sbom.py PROGRAM FILE

The list is that of cargo-cyclonedx, without what is only used to build and without what Cargo leaves
out for the features that are on, which cargo-cyclonedx does not know: for that Cargo itself is asked.
Then the list is compared with three others:

- what Cargo links: the same packages, neither more nor fewer;
- whose sources the debug information of the program names: each is listed;
- what `cargo auditable` embedded in the program, and the checksums of Cargo.lock: each that is listed
  is there.

It is run in the folder of Cargo.toml. It never changes the program, and asks no registry.
"""

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = "whimbrel"
# cargo-cyclonedx writes this file next to Cargo.toml.
WRITTEN = Path(f"{ROOT}_bin.cdx.json")
# A program without debug information would prove nothing.
NAMED_SOURCES_MIN = 50

Package = tuple[str, str]


class Wrong(Exception):
    """What is wrong with the list."""


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked() -> set[Package]:
    """The packages that Cargo links for this machine, with their versions."""
    host = re.search(r"^host: (\S+)$", output("rustc", "-vV"), re.MULTILINE).group(1)
    edges = ("--edges", "normal,no-proc-macro", "--target", host, "--prefix", "none", "--format", "{p}")
    lines = output("cargo", "tree", "--locked", *edges).splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, lines)}


def generate(packages: set[Package]) -> dict:
    """The list of cargo-cyclonedx, of these packages alone, and without a path of this machine."""
    time = output("git", "log", "-1", "--format=%ct").strip()
    # With the time of the commit the same commit has the same list.
    subprocess.run(
        ["env", f"SOURCE_DATE_EPOCH={time}", "cargo", "cyclonedx", "--quiet", "--format", "json",
         "--spec-version", "1.5", "--describe", "binaries", "--no-build-deps"],
        check=True,
    )  # fmt: skip
    sbom = json.loads(WRITTEN.read_text())
    WRITTEN.unlink()
    sbom["components"] = [it for it in sbom["components"] if of(it) in packages]
    root = sbom["metadata"]["component"]
    own = f"pkg:cargo/{ROOT}@{root['version']}"
    refs = {it["bom-ref"]: it["bom-ref"] for it in sbom["components"]} | {root["bom-ref"]: own}
    root["bom-ref"] = root["purl"] = own
    sbom["dependencies"] = [
        {"ref": refs[it["ref"]], "dependsOn": [refs[to] for to in it.get("dependsOn", []) if to in refs]}
        for it in sbom["dependencies"]
        if it["ref"] in refs
    ]
    return sbom


def of(component: dict) -> Package:
    return component["name"], component["version"]


def named_sources(program: Path) -> set[str]:
    """NAME-VERSION of each package from a registry whose sources the program names."""
    found = re.findall(rb"/registry/src/[^/\0]+/([A-Za-z0-9_.+-]+)/", program.read_bytes())
    return {it.decode() for it in found}


def embedded(program: Path) -> set[Package]:
    """What the program says of itself."""
    packages = json.loads(output("rust-audit-info", str(program)))["packages"]
    return {(it["name"], it["version"]) for it in packages if it.get("kind") != "build"}


def locked() -> dict[Package, str | None]:
    """The checksum of each package in Cargo.lock."""
    packages = tomllib.loads(Path("Cargo.lock").read_text())["package"]
    return {(it["name"], it["version"]): it.get("checksum") for it in packages}


class Evidence:
    """The other lists."""

    def __init__(self, program: Path):
        self.linked, self.embedded, self.locked = linked(), embedded(program), locked()
        self.named = named_sources(program)
        if len(self.named) < NAMED_SOURCES_MIN:
            raise Wrong(f"{program} has no debug information: {len(self.named)} packages are named")

    def check(self, sbom: dict) -> int:
        """Returns the number of packages that are listed."""
        listed = [of(it) for it in (sbom["metadata"]["component"], *sbom["components"])]
        packages = set(listed)
        no = {
            "are listed twice": {it for it in listed if listed.count(it) > 1},
            "are linked, and not listed": self.linked - packages,
            "are listed, and not linked": packages - self.linked,
            "have sources in the program, and are not listed": self.named - {"-".join(it) for it in packages},
            "are listed, and the program does not say so": packages - self.embedded,
            "have another checksum than in Cargo.lock": {
                of(it)
                for it in sbom["components"]
                if [hash["content"] for hash in it.get("hashes", [])] != [self.locked.get(of(it))]
            },
        }
        for what, found in no.items():
            if found:
                raise Wrong(f"packages {what}: {sorted(found)}")
        return len(packages)

    def check_the_check(self, sbom: dict) -> None:
        """A list that differs in one package is refused."""

        def without_one(components):
            components.pop()

        def with_one_twice(components):
            components.append(components[0])

        def with_another_version(components):
            components[0]["version"] += "1"

        def with_another_hash(components):
            components[0]["hashes"][0]["content"] = "0" * 64

        for change in (without_one, with_one_twice, with_another_version, with_another_hash):
            changed = copy.deepcopy(sbom)
            change(changed["components"])
            try:
                self.check(changed)
            except Wrong:
                continue
            raise Wrong(f"a list {change.__name__.replace('_', ' ')} passes the check")


def main(program: Path, file: Path) -> None:
    evidence = Evidence(program)
    sbom = generate(evidence.linked)
    count = evidence.check(sbom)
    evidence.check_the_check(sbom)
    file.write_text(json.dumps(sbom, indent=1) + "\n")
    print(f"{file}: {count} packages, of which the program names the sources of {len(evidence.named)}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Wrong as wrong:
        sys.exit(f"sbom: {wrong}")
