"""`python -m load.jmeter_home`: Apache JMeter as a folder that a plain JVM starts from, made once, by Maven.

Maven fetches the jars that pom.xml names from Maven Central and checks them against its checksums; they are compared
again with the SHA-256 digests of jmeter.sha256. The folder is in the cache, under a digest of these two files.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cluster.made_once import make_once
from cluster.places import cache_folder

from load.generating import GeneratorError

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
CHECKSUMS = HERE / "jmeter.sha256"
LAUNCHER = "bin/ApacheJMeter.jar"
HOME_VARIABLE = "MODELPRESS_JMETER_HOME"
"""Names a home that `make_home` made; the image of the generators has it."""
_SECONDS_BETWEEN_REPORTS = 20
# where JMeter looks for samplers and functions; everything else is a library
_EXTENSION = re.compile(r"ApacheJMeter_\w+-[\d.]+\.jar")

Progress = Callable[[str], None]


def home_folder() -> Path:
    """Where the JMeter of exactly this pom.xml and these digests is, or will be."""
    digest = hashlib.sha256(POM.read_bytes() + b"\0" + CHECKSUMS.read_bytes())
    return cache_folder() / "jmeter" / digest.hexdigest()[:16]


def make_home(progress: Progress) -> Path:
    """The JMeter home, made when it is not there yet: whole or not at all; or the one that HOME_VARIABLE names.

    Raises:
        GeneratorError: when Maven is missing or fails, or a jar is not the one that was listed.
    """

    def make(half: Path) -> None:
        jars = half / "jars"
        fetch_jars(jars, progress)
        check_digests(digest_jars(jars), parse_digests(CHECKSUMS.read_text()))
        arrange_home(jars, half)

    given = os.environ.get(HOME_VARIABLE)
    return Path(given) if given else make_once(home_folder(), (LAUNCHER,), make, progress)


def fetch_jars(jars: Path, progress: Progress) -> None:
    """All jars of pom.xml by Maven into a folder, with a sign of life while it runs."""
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        raise GeneratorError("JMeter is fetched by Maven, which is not here: install Debian's maven and run this again")
    progress("fetching JMeter from Maven Central (about 70 MB, once)")
    command = [maven, "--batch-mode", "--no-transfer-progress", "--quiet", "--strict-checksums", f"--file={POM}"]
    process = subprocess.Popen(
        [*command, f"-Djars={jars}", "initialize"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = _follow(process, progress)
    if process.returncode != 0:
        raise GeneratorError(f"Maven could not fetch the jars of {POM}: {said.strip()[-2000:]}")


def _follow(process: "subprocess.Popen[str]", progress: Progress) -> str:
    """What the process said, once it has ended."""
    seconds = 0
    while True:
        try:
            return process.communicate(timeout=_SECONDS_BETWEEN_REPORTS)[0]
        except subprocess.TimeoutExpired:
            seconds += _SECONDS_BETWEEN_REPORTS
            progress(f"  … fetching ({seconds} s)")


def digest_jars(jars: Path) -> dict[str, str]:
    """SHA-256 in hexadecimal of every file of the folder, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(jars.iterdir())}


def parse_digests(text: str) -> dict[str, str]:
    """The lines of sha256sum as digests by name."""
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def format_digests(digests: Mapping[str, str]) -> str:
    """Lines as sha256sum writes and checks them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def check_digests(found: Mapping[str, str], listed: Mapping[str, str]) -> None:
    """Nothing but the listed jars, each with its digest.

    Raises:
        GeneratorError: naming those that are missing, not listed or other than listed.
    """
    wrong = sorted(name for name in found.keys() | listed.keys() if found.get(name) != listed.get(name))
    if wrong:
        raise GeneratorError(
            f"{len(wrong)} jars are not those of {CHECKSUMS} ({', '.join(wrong[:5])}); remove them from Maven's"
            " repository (~/.m2) and run this again, or, after a change of pom.xml, write the list anew with --list"
        )


def arrange_home(jars: Path, home: Path) -> None:
    """JMeter's own layout out of a folder of jars, which is used up: bin/, lib/ and lib/ext/."""
    for folder in ("bin", "lib/ext", "lib/junit"):  # it complains of the third when it is not there
        (home / folder).mkdir(parents=True)
    for jar in sorted(jars.iterdir()):
        if jar.name.startswith("ApacheJMeter_config-"):
            _extract_settings(jar, home)
        jar.rename(home / _place_jar(jar.name))
    jars.rmdir()


def _place_jar(name: str) -> str:
    if re.fullmatch(r"ApacheJMeter-[\d.]+\.jar", name):
        return LAUNCHER
    return f"lib/ext/{name}" if _EXTENSION.fullmatch(name) else f"lib/{name}"


def _extract_settings(jar: Path, home: Path) -> None:
    """The files of bin/ in the jar; `zipfile` keeps them below the home, whatever their names are."""
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(home, [name for name in archive.namelist() if name.startswith("bin/")])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the home and print its folder, or the digests of the jars that Maven gives."""
    parser = argparse.ArgumentParser(prog="load.jmeter_home", description="Fetch JMeter into the cache, checked.")
    parser.add_argument("--list", action="store_true", help="print the digests of pom.xml's jars, for jmeter.sha256")
    options = parser.parse_args(arguments)

    def progress(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    try:
        if options.list:
            with tempfile.TemporaryDirectory() as folder:
                fetch_jars(Path(folder), progress)
                print(format_digests(digest_jars(Path(folder))), end="")
        else:
            print(make_home(progress))
    except GeneratorError as error:
        progress(f"jmeter_home: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
