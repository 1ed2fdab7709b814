"""A run and its checks as JUnit's XML, which every CI system reads (https://github.com/testmoapp/junitxml)."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mlproj.reporting.report import Report

# What XML 1.0 cannot have, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(report: Report) -> str:
    """A suite with a case for the run itself and one for each check."""
    record = report.record
    failures = sum(not each.passed for each in report.checks) + (record.status != "finished")
    facts = {
        "name": report.title,
        "tests": str(len(report.checks) + 1),
        "failures": str(failures),
        "errors": "0",
        "skipped": "0",
        "time": f"{record.duration_s or 0:.3f}",
        "timestamp": record.started_at.removesuffix("Z"),
    }
    suites = ElementTree.Element(
        "testsuites", {each: facts[each] for each in ("name", "tests", "failures", "errors", "time")}
    )
    suite = ElementTree.SubElement(suites, "testsuite", _clean(facts))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in {"run": record.id, **record.parameters, **record.metrics}.items():
        ElementTree.SubElement(properties, "property", _clean({"name": str(name), "value": str(value)}))
    case = _case(suite, report, "run", record.duration_s or 0)
    if record.status != "finished":
        message = record.error or f"{record.status}, exit status {record.exit_status}"
        ElementTree.SubElement(case, "failure", _clean({"message": message, "type": record.status}))
    for check in report.checks:
        case = _case(suite, report, check.name, 0)
        if not check.passed:
            failure = ElementTree.SubElement(case, "failure", _clean({"message": check.told, "type": "check"}))
            failure.text = _FORBIDDEN.sub("\ufffd", f"{check.name}: {check.told}")
    return _text(suites)


def junit_of_failure(project: str, told: str) -> str:
    """A suite with one case, which has an error: the project could not be run."""
    facts = {"name": project, "tests": "1", "failures": "0", "errors": "1", "time": "0"}
    suites = ElementTree.Element("testsuites", _clean(facts))
    suite = ElementTree.SubElement(suites, "testsuite", _clean({**facts, "skipped": "0"}))
    case = ElementTree.SubElement(suite, "testcase", _clean({"classname": project, "name": "run", "time": "0"}))
    message = told.splitlines()[0] if told else ""
    ElementTree.SubElement(case, "error", _clean({"message": message, "type": "error"})).text = _FORBIDDEN.sub(
        "\ufffd", told
    )
    return _text(suites)


def _text(suites: ElementTree.Element) -> str:
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, report: Report, name: str, seconds: float) -> ElementTree.Element:
    facts = {"classname": report.title, "name": name, "time": f"{seconds:.3f}"}
    return ElementTree.SubElement(suite, "testcase", _clean(facts))


def _clean(facts: dict[str, str]) -> dict[str, str]:
    return {name: _FORBIDDEN.sub("\ufffd", value) for name, value in facts.items()}
