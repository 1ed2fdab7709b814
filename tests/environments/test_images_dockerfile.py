"""Dockerfiles: what they build on, what they copy, and how they read with their images pinned."""

from __future__ import annotations

import pytest

from mlproj.environments.images.dockerfile import read_dockerfile, with_syntax
from mlproj.errors import UsageError

PLATFORM = "linux/amd64"


def images(text: str, target: str | None = None, **arguments: str) -> tuple[str, ...]:
    return read_dockerfile(text, arguments, target, PLATFORM).images


def sources(text: str, **arguments: str) -> tuple[str, ...] | None:
    return read_dockerfile(text, arguments, None, PLATFORM).sources


def test_an_image_without_a_tag_is_the_latest() -> None:
    assert images("FROM python\n") == ("python:latest",)


def test_arguments_before_the_first_stage_name_images_and_the_callers_go_before_their_defaults() -> None:
    text = "ARG VERSION=3.11\nARG BASE=python\nFROM ${BASE}:${VERSION}-slim\n"

    assert images(text) == ("python:3.11-slim",)
    assert images(text, VERSION="3.13") == ("python:3.13-slim",)


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("${TAG:-python:3}", "python:3"),
        ("python${SUFFIX:+-slim}", "python:latest"),
        ("$BUILDOS-$TARGETARCH/x:1", "linux-amd64/x:1"),
        ('"python:3.12"', "python:3.12"),
        ("host.example:5000/team/x@sha256:" + "a" * 64, "host.example:5000/team/x@sha256:" + "a" * 64),
    ],
)
def test_references_read_as_the_builder_reads_them(reference: str, image: str) -> None:
    assert images(f"ARG SUFFIX\nFROM --platform=$BUILDPLATFORM {reference} AS base\n") == (image,)


def test_stages_are_no_images_and_neither_is_scratch() -> None:
    text = "FROM python:3 AS Build\nFROM scratch\nCOPY --from=build /a /b\nCOPY --from=0 /a /c\nFROM build\n"

    assert images(text) == ("python:3",)


def test_what_is_copied_out_of_other_images_is_built_on_too() -> None:
    text = (
        "FROM python:3\nCOPY --from=uv:0.5 /uv /bin/\n"
        "RUN --mount=type=cache,target=/c --mount=type=bind,from=busybox,source=/bin,target=/b \\\n"
        "  # a comment in between\n  true\n"
    )

    assert images(text) == ("python:3", "uv:0.5", "busybox:latest")


def test_stages_after_the_target_do_not_count() -> None:
    text = "FROM a:1 AS first\nFROM b:1 AS second\nFROM c:1 AS third\n"

    assert images(text, target="second") == ("a:1", "b:1")
    with pytest.raises(UsageError, match="no stage `fourth`"):
        images(text, target="fourth")


def test_text_in_a_here_document_is_no_instruction() -> None:
    text = "FROM python:3\nRUN <<EOT bash\nFROM nothing\nCOPY everything /\nEOT\nCOPY one /\n"

    assert images(text) == ("python:3",)
    assert sources(text) == ("one",)


@pytest.mark.parametrize(
    "step",
    [
        "RUN n=3; echo $((1<<n))",
        "RUN echo $(( 1 <<n ))",
        "RUN echo '<<EOF'",
        "RUN cat <<<word",
        "RUN cat<<EOF",
        "RUN <<NEVER",
        'RUN ["cat", "<<EOF"]',
    ],
)
def test_what_is_no_here_document_hides_nothing_after_it(step: str) -> None:
    text = f"FROM python:3\n{step}\nCOPY one /\nFROM other:1\nCOPY two /\nn\nEOF\n"

    assert images(text) == ("python:3", "other:1")
    assert sources(text) == ("one", "two")


@pytest.mark.parametrize(
    ("begin", "end"), [("<<EOT", "EOT"), ('<<"EOT"', "EOT"), ("<<-'E.T'", "\t\tE.T"), ("3<<A <<B", "A\nB")]
)
def test_a_here_document_ends_with_its_word_alone(begin: str, end: str) -> None:
    text = f"FROM python:3\nRUN {begin}\nFROM nothing\n  EOT\nEOT words\n{end}\nCOPY one /\n"

    assert images(text) == ("python:3",)
    assert sources(text) == ("one",)


def test_words_may_be_apart_by_tabs() -> None:
    text = "FROM\tpython:3\tAS\tone\nCOPY\tsub/s\t/o\nCOPY --chown=1\tother /\n"

    assert images(text) == ("python:3",)
    assert sources(text) == ("sub/s", "other")


@pytest.mark.parametrize("step", ["RUN <<A", "RUN <<A\n\tA", "COPY <<A /x", "ARG B=x$B$B", "RUN echo $(( $(("])
def test_a_large_dockerfile_takes_no_time(step: str) -> None:
    text = "FROM python:3\nARG B=xx\n" + f"{step}\n" * 20_000

    try:
        assert images(text) == ("python:3",)
    except UsageError as error:
        assert "longer than 100000 characters" in error.message


@pytest.mark.parametrize("text", ["", "# only words\n", "RUN true\n"])
def test_a_dockerfile_that_builds_on_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no `FROM`"):
        images(text)


def test_an_image_that_is_not_known_without_arguments_is_refused_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"line 2 .*\$BASE.* no image"):
        images("ARG BASE\nFROM $BASE\n")


@pytest.mark.parametrize(
    ("copies", "found"),
    [
        ("RUN pip install x", ()),
        ("COPY requirements.txt setup.* /app/", ("requirements.txt", "setup.*")),
        ('COPY ["a file", "b", "/app/"]', ("a file", "b")),
        ("COPY --chown=1:1 --chmod=644 src /app", ("src",)),
        ("ARG WHICH=small\nCOPY $WHICH.txt /", ("small.txt",)),
        ("ENV DIR=data\nCOPY ${DIR}/x /", ("data/x",)),
        ("ADD https://host.example/x /x", ()),
        ("COPY <<EOF /etc/x\nwords\nEOF", ()),
        ("COPY . .", (".",)),
        # What the image below sets is not known here, so anything may be copied.
        ("COPY $FROM_THE_BASE /", None),
        ("COPY --exclude=*.md . /", None),
        ("RUN --mount=type=bind,target=/src make", None),
        ("RUN --mount=target=/src make", None),
        ('RUN --mount=type="bind",target=/src make', None),
        ('RUN --mount="target=/src" make', None),
        ("RUN --network=none --mount=source=a,target=/src make", None),
        ("RUN --mount=type=cache,target=/c --mount=type=secret,id=x make --mount=target=/x", ()),
        ("RUN --mount=type=$KIND,target=/src make", None),
        ("ONBUILD COPY . /\nFROM python:3", None),
        ("COPY <<EOF /etc/x\nCOPY a /", None),
        ('COPY a"b /', None),
        ("COPY [a]b /", None),
        ("COPY git@x /", ("git@x",)),
    ],
)
def test_what_is_copied_from_the_context(copies: str, found: tuple[str, ...] | None) -> None:
    assert sources(f"FROM python:3\n{copies}\n") == found


def test_images_are_pinned_where_they_stand_and_nothing_else_changes() -> None:
    text = (
        "ARG BASE=python\n# FROM python\nFROM ${BASE}:3 AS python\nRUN echo ${BASE}:3\n"
        "FROM python AS two\nCOPY --from=uv /uv /bin/\n"
    )
    dockerfile = read_dockerfile(text, {}, None, PLATFORM)

    pinned = dockerfile.pinned({"python:3": "python@sha256:abc", "uv:latest": "uv@sha256:def"})

    assert pinned == (
        "ARG BASE=python\n# FROM python\nFROM python@sha256:abc AS python\nRUN echo ${BASE}:3\n"
        "FROM python AS two\nCOPY --from=uv@sha256:def /uv /bin/\n"
    )


def test_the_frontend_that_a_dockerfile_names_is_found_pinned_and_left_out() -> None:
    text = "# syntax=docker/dockerfile:1\n# escape=`\nFROM a:1\n"

    assert read_dockerfile(text, {}, None, PLATFORM).syntax == "docker/dockerfile:1"
    assert with_syntax(text, "x@sha256:1") == "# syntax=x@sha256:1\n# escape=`\nFROM a:1\n"
    assert with_syntax(text, None) == "#\n# escape=`\nFROM a:1\n"


def test_another_escape_character_joins_lines() -> None:
    assert sources("# escape=`\nFROM a:1\nCOPY one `\n  two /\n") == ("one", "two")
