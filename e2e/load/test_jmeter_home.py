"""The JMeter home holds the listed jars and no others, in JMeter's own layout, and is made once."""

import hashlib
import re
import xml.etree.ElementTree as ET
import zipfile

import pytest

from load import jmeter_home
from load.generating import GeneratorError
from load.jmeter_home import (
    CHECKSUMS,
    LAUNCHER,
    POM,
    arrange_home,
    check_digests,
    digest_jars,
    format_digests,
    home_folder,
    make_home,
    parse_digests,
)

NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


def nothing(_):
    """Takes no notice."""


def test_every_version_of_the_pom_is_pinned_and_every_jar_has_a_digest():
    root = ET.parse(POM).getroot()  # noqa: S314 - our own file
    versions = [each.text for each in root.iterfind(".//m:dependency/m:version", NAMESPACE)]
    assert versions == ["${jmeter.version}"] * 4
    assert root.findtext(".//m:jmeter.version", namespaces=NAMESPACE) == "5.6.3"
    assert all(each.find("m:version", NAMESPACE) is not None for each in root.iterfind(".//m:plugin", NAMESPACE))
    digests = parse_digests(CHECKSUMS.read_text())
    assert "ApacheJMeter_core-5.6.3.jar" in digests
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests.values())
    assert format_digests(digests) == CHECKSUMS.read_text()


def test_jars_that_are_missing_altered_or_not_listed_are_refused_by_name():
    listed = {"a.jar": "1", "b.jar": "2"}
    check_digests(dict(listed), listed)
    with pytest.raises(GeneratorError, match=r"1 jars .*\(b\.jar\)"):
        check_digests({"a.jar": "1", "b.jar": "3"}, listed)
    with pytest.raises(GeneratorError, match=r"2 jars .*\(a\.jar, c\.jar\)"):
        check_digests({"b.jar": "2", "c.jar": "3"}, listed)


def test_digests_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a.jar").write_bytes(b"x")
    assert digest_jars(tmp_path) == {"a.jar": hashlib.sha256(b"x").hexdigest()}


def test_jars_go_where_jmeter_looks_for_them_with_the_settings_unpacked(tmp_path):
    jars, home = tmp_path / "jars", tmp_path / "home"
    jars.mkdir()
    for name in ("ApacheJMeter-5.6.3.jar", "ApacheJMeter_core-5.6.3.jar", "groovy-3.0.20.jar"):
        (jars / name).write_bytes(b"")
    with zipfile.ZipFile(jars / "ApacheJMeter_config-5.6.3.jar", "w") as archive:
        archive.writestr("bin/jmeter.properties", "a=1\n")
        archive.writestr("META-INF/LICENSE", "")
        archive.writestr("bin/../../outside", "")
    arrange_home(jars, home)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        "home/bin/ApacheJMeter.jar",
        "home/bin/jmeter.properties",
        "home/bin/outside",
        "home/lib/ext/ApacheJMeter_config-5.6.3.jar",
        "home/lib/ext/ApacheJMeter_core-5.6.3.jar",
        "home/lib/groovy-3.0.20.jar",
    ]


def test_a_home_that_is_there_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    launcher = home_folder() / LAUNCHER
    launcher.parent.mkdir(parents=True)
    launcher.touch()
    assert make_home(nothing) == home_folder() == launcher.parent.parent


def test_without_maven_it_says_what_to_install_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert jmeter_home.main([]) == 1
    assert capsys.readouterr().err == (
        "jmeter_home: JMeter is fetched by Maven, which is not here: install Debian's maven and run this again\n"
    )
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_a_maven_that_gives_another_jar_makes_no_home(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "java": "#!/bin/sh\n",
        "mvn": '#!/bin/sh\nfor each; do case "$each" in -Djars=*) mkdir -p "${each#-Djars=}";'
        ' echo other > "${each#-Djars=}/groovy-3.0.20.jar";; esac; done\n',
    }.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with pytest.raises(GeneratorError, match=r"jars are not those of .*jmeter\.sha256"):
        make_home(nothing)
    assert not home_folder().exists()


def test_a_maven_that_fails_is_quoted(tmp_path, monkeypatch):
    for name, script in {"java": "#!/bin/sh\n", "mvn": "#!/bin/sh\necho no route to Central\nexit 1\n"}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(GeneratorError, match="no route to Central"):
        make_home(nothing)
