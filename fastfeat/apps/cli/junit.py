"""JUnit XML of a gate's report, for CI servers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from fastfeat.apps.cli.gate_result import GateCase, GateResult


def junit_of(name: str, judged: GateResult, error: tuple[str, str] | None, seconds: float) -> bytes:
    """Return a gate's report as JUnit XML: one test case per case, a failure for each finding.

    A warning is a passed test case with an output. `error` is the kind and text of the error if
    nothing was judged, `seconds` the duration.

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
        _add_text_element(one, "error", text, kind)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n"


def _add(suite: ElementTree.Element, group: str, case: GateCase) -> None:
    one = _case(suite, group, case.name)
    match case.result:
        case "finding":
            _add_text_element(
                one, "failure", case.told, str(case.details.get("outcome", "finding"))
            )
        case "skipped":
            ElementTree.SubElement(one, "skipped", {"message": escape_for_xml(case.told)})
        case "warning":
            ElementTree.SubElement(one, "system-out").text = escape_for_xml(f"warning: {case.told}")
        case "ok":
            pass


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    named = {"classname": escape_for_xml(group), "name": escape_for_xml(name), "time": "0"}
    return ElementTree.SubElement(suite, "testcase", named)


def _add_text_element(case: ElementTree.Element, tag: str, text: str, kind: str) -> None:
    """Add an element to a test case, with the first line of the text as its message.

    `tag` is its name, such as "failure"; its content is the whole text.
    """
    first = text.partition("\n")[0]
    found = ElementTree.SubElement(case, tag, {"message": escape_for_xml(first), "type": kind})
    found.text = escape_for_xml(text)


def escape_for_xml(text: str) -> str:
    r"""Return a text in which Python escapes replace the characters that XML forbids.

    Example:
        >>> escape_for_xml("a\x00b\ud800")
        'a\\x00b\\ud800'
    """
    return _NOT_XML.sub(lambda found: repr(found.group())[1:-1], text)


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters outside the production `Char` of XML 1.0."""
