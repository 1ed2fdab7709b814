"""Finding one run by what a person calls it."""

from __future__ import annotations

import re

from mlproj.errors import RunNotFoundError, UsageError
from mlproj.runs.database import explained
from mlproj.runs.index import plain
from mlproj.runs.query import known_names
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, load
from mlproj.text import did_you_mean, nearest, one_line

_LISTED = 10
# Which end of a metric is the good one, told by the words of its name.
_LOWER = frozenset(
    (
        "loss", "losses", "error", "errors", "err", "rmse", "mse", "mae", "mape", "rmsle", "msle",
        "nll", "perplexity", "ppl", "wer", "cer", "fid", "brier", "logloss", "deviance", "regret",
        "time", "duration", "latency", "seconds", "bpb", "bpc", "fpr", "fnr", "hinge", "divergence",
        "kl", "bouldin",
    )
)  # fmt: skip
_HIGHER = frozenset(
    (
        "acc", "accuracy", "auc", "auroc", "auprc", "ap", "map", "f", "f1", "f2", "fbeta", "precision",
        "recall", "r2", "dice", "iou", "miou", "bleu", "rouge", "meteor", "ndcg", "mrr",
        "sensitivity", "specificity", "correlation", "reward", "return", "throughput", "likelihood",
        "elbo", "psnr", "ssim", "kappa", "mcc", "tpr", "tnr", "hits",
    )
)  # fmt: skip
# What says nothing beside a word of the two above: `brier_score`, `davies_bouldin_score`.
_HIGHER_ALONE = frozenset(("score", "scores"))
# What turns a name round, as scikit-learn's `neg_mean_squared_error`, `negative_log_likelihood`.
_NEGATED = frozenset(("neg", "negative"))
# What makes a name about something else than the quality itself: `accuracy_std`, `loss_reduction`.
_ABOUT_IT = frozenset(
    (
        "std", "stdev", "stddev", "var", "variance", "sem", "stderr", "drop", "gap", "reduction", "free", "delta",
        "diff", "difference", "change", "gain", "improvement", "increase", "decrease", "ratio", "rank", "threshold",
        "weight", "scale", "count", "minus", "between", "fixed",
    )
)  # fmt: skip


def find(store: Store, name: str, *, trashed: bool = False) -> RunRecord:
    """The one run that ``name`` means; with ``trashed`` the one in the trash.

    ``name`` is any prefix of a run's id that no other run has, the exact name of one run, or one of:
    ``@last`` (the newest run that was not begun within another), ``@last~2`` (two before it),
    ``@min:METRIC``, ``@max:METRIC`` (the finished run with the smallest or largest last value; the newest
    of equals), ``@best:METRIC`` (whichever of the two the metric's name tells: ``val_loss`` is better low,
    ``accuracy`` high). Raises
    RunNotFoundError when no run or more than one answers, UsageError for an ``@`` form that is none.
    """
    ids = _marked(store, name, trashed) if name.startswith("@") else _named(store, name, trashed)
    if len(ids) == 1:
        return load(store, ids[0])
    where = "in the trash" if trashed else "in the store"
    if not ids:
        raise RunNotFoundError(f"there is no run `{one_line(name)}` {where}", hint=_hint(store, name, trashed))
    lines = "\n".join(f"  {_described(store, run_id)}" for run_id in ids[:_LISTED])
    more = "" if len(ids) <= _LISTED else "\n  …"
    raise RunNotFoundError(f"`{one_line(name)}` is the name of more than one run:\n{lines}{more}")


def find_to_compare(store: Store, name: str, project: str, entry_point: str) -> RunRecord:
    """The run that a run of a project's entry point is to be held against, by a name as ``find`` takes it.

    The ``@`` forms mean the finished runs of that one: one of another, or one that failed, is no measure for it.
    Raises as ``find`` does.
    """
    if not name.startswith("@"):
        return find(store, name)
    if ids := _marked(store, name, trashed=False, of=(project, entry_point)):
        return load(store, ids[0])
    raise RunNotFoundError(
        f"there is no finished run `{one_line(name)}` of {one_line(project)}: {one_line(entry_point)} in the store",
        hint="A run of another project or entry point is named by its id; `mlproj runs` lists them.",
    )


def _rows(store: Store, statement: str, *values: object) -> list[tuple[str, ...]]:
    with explained(store.folder):
        return store.connection.execute(statement, values).fetchall()


def _trash_condition(trashed: bool) -> str:
    return "deleted_at IS NOT NULL" if trashed else "deleted_at IS NULL"


def _named(store: Store, name: str, trashed: bool) -> list[str]:
    statement = f"SELECT id FROM runs WHERE {_trash_condition(trashed)} AND "  # noqa: S608  a constant
    if not name:
        return []
    ids = [row[0] for row in _rows(store, f"{statement} name = ? ORDER BY id DESC LIMIT 50", plain(name))]
    prefix = name.lower()
    if re.fullmatch("[0-9a-f]{1,32}", prefix):
        # `g` is the character after the last hexadecimal one.
        ids += [row[0] for row in _rows(store, f"{statement} id >= ? AND id < ? LIMIT 50", prefix, prefix + "g")]
    return list(dict.fromkeys(ids))


def _marked(store: Store, name: str, trashed: bool, of: tuple[str, str] | None = None) -> list[str]:
    """The run that an ``@`` form means; with ``of`` among the finished runs of that project and entry point alone."""
    word, _, metric = name.partition(":")
    among = "" if of is None else " AND status = 'finished' AND project = ? AND entry_point = ?"
    values = [] if of is None else [plain(each) for each in of]
    if match := re.fullmatch("@last(?:~([0-9]{1,9}))?", name):
        own = f"parent IS NULL AND {_trash_condition(trashed)}"
        statement = f"SELECT id FROM runs WHERE {own} {among} ORDER BY id DESC LIMIT 1 OFFSET ?"  # noqa: S608  what is put in is our own, and values are bound
        return [row[0] for row in _rows(store, statement, *values, int(match[1] or 0))]
    if word not in ("@best", "@min", "@max") or not metric:
        raise UsageError(
            f"`{one_line(name)}` names no run",
            hint="There are @last, @last~1, @best:METRIC, @min:METRIC and @max:METRIC.",
        )
    known = known_names(store, "metrics")
    if metric not in known:
        raise RunNotFoundError(f"no run has a metric `{one_line(metric)}`.{did_you_mean(metric, known)}")
    order = "ASC" if (better_end(metric) if word == "@best" else word[1:]) == "min" else "DESC"
    statement = f"""SELECT runs.id FROM metrics JOIN runs ON runs.number = metrics.run
        WHERE metrics.name = ? AND metrics.value IS NOT NULL AND status = 'finished'
        AND {_trash_condition(trashed)}{among} ORDER BY metrics.value {order}, runs.id DESC LIMIT 1"""  # noqa: S608  what is put in is our own, and values are bound
    return [row[0] for row in _rows(store, statement, plain(metric), *values)]


def better_end(metric: str) -> str:
    """``min`` or ``max``: which end of a metric is the better, by the words of its name. Raises
    UsageError when they do not tell.
    """
    words = re.findall("[a-z]+[0-9]?", re.sub("([a-z])([A-Z])", r"\1_\2", metric).lower())
    end = _end_by_words(words)
    if end is None:
        raise UsageError(
            f"the name `{one_line(metric)}` does not tell whether low or high is better",
            hint=f"Write @min:{one_line(metric)} or @max:{one_line(metric)}.",
        )
    return end


def _end_by_words(words: list[str]) -> str | None:
    if _ABOUT_IT.intersection(words):
        return None
    lower, higher = bool(_LOWER.intersection(words)), bool(_HIGHER.intersection(words))
    if not lower and not higher and _HIGHER_ALONE.intersection(words):
        higher = True
    if words[:1] == ["neg"] and lower == higher:  # the scorers of scikit-learn: greater is always better
        return "max"
    if lower == higher:
        return None
    if _NEGATED.intersection(words):
        # Of what is better high it may be the figure of the negative class (`f1_negative`), and of one thing it is not.
        return "max" if lower else "min" if "likelihood" in words else None
    return "min" if lower else "max"


def _described(store: Store, run_id: str) -> str:
    row = _rows(store, "SELECT name, entry_point, status, started_at FROM runs WHERE id = ?", run_id)[0]
    return f"{run_id[:16]}  " + "  ".join(one_line(value) for value in row if value)


def _hint(store: Store, name: str, trashed: bool) -> str | None:
    if not trashed and not name.startswith("@") and _named(store, name, True):
        return "It is in the trash; `mlproj restore` takes it out again."
    names = [row[0] for row in _rows(store, "SELECT DISTINCT name FROM runs WHERE name != '' LIMIT 5000")]
    near = nearest(name, names)
    return f"Did you mean `{one_line(near)}`?" if near else "`mlproj runs` lists the runs there are."
