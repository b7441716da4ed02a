"""JUnit: the report of a gate as XML, as servers of CI read the results of tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from fastfeat.apps.cli.judged import Case, Judged


def junit_of(name: str, judged: Judged, error: tuple[str, str] | None, seconds: float) -> bytes:
    """Return the XML of a report: a test case each, a failure where it is a finding.

    A warning is a case in order, whose output says it.

    Args:
        name: of the command.
        judged: the report.
        error: kind and text of why nothing was judged; None where it was.
        seconds: how long it took.

    Source: the schema of Jenkins' xUnit plugin, https://github.com/jenkinsci/xunit-plugin.
    """
    results = [case.result for case in judged.cases]
    counts = {
        "tests": str(len(results) + (error is not None)),
        "failures": str(results.count("finding")),
        "errors": str(int(error is not None)),
        "skipped": str(results.count("skipped")),
        "time": f"{seconds:.3f}",
    }
    suites = ElementTree.Element("testsuites", {"name": "fastfeat", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": f"fastfeat {name}", **counts})
    for case in judged.cases:
        _add(suite, f"fastfeat.{name}.{judged.of}", case)
    if error is not None:
        kind, text = error
        one = _case(suite, f"fastfeat.{name}", name)
        _tell(one, "error", text, kind)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n"


def _add(suite: ElementTree.Element, group: str, case: Case) -> None:
    one = _case(suite, group, case.name)
    match case.result:
        case "finding":
            _tell(one, "failure", case.told, str(case.details.get("outcome", "finding")))
        case "skipped":
            ElementTree.SubElement(one, "skipped", {"message": written(case.told)})
        case "warning":
            ElementTree.SubElement(one, "system-out").text = written(f"warning: {case.told}")
        case "ok":
            pass


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    named = {"classname": written(group), "name": written(name), "time": "0"}
    return ElementTree.SubElement(suite, "testcase", named)


def _tell(case: ElementTree.Element, tag: str, text: str, kind: str) -> None:
    """Add what was found: its first line as the message, all of it as the text."""
    first = text.partition("\n")[0]
    found = ElementTree.SubElement(case, tag, {"message": written(first), "type": kind})
    found.text = written(text)


def written(text: str) -> str:
    r"""Return a text that XML can have: other characters stand as Python escapes them.

    Example:
        >>> written("a\x00b\ud800")
        'a\\x00b\\ud800'
    """
    return _NOT_XML.sub(lambda found: repr(found.group())[1:-1], text)


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What the production `Char` of XML 1.0 leaves out."""
