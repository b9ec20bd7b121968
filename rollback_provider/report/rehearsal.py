"""The document of a rehearsal: what was tried, what happened, figures, and what it says nothing about."""

from __future__ import annotations

from rollback_provider import __version__
from rollback_provider.core.rehearsal import figures
from rollback_provider.core.rehearsal.drills import DRILLS
from rollback_provider.core.rehearsal.model import Estimate, Expected, Rehearsal, Trial
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.words import plural
from rollback_provider.report.html import environment
from rollback_provider.report.markdown import code, document, escape, listed, section, table
from rollback_provider.report.words import duration, moment, number

SHOWN = 20
"""Differences and lost writes of a trial that are shown; the record holds all."""


def rehearsal_to_markdown(rehearsal: Rehearsal) -> str:
    """The document as Markdown. Everything that comes from the record is escaped."""
    return document(
        f"# Rehearsal of {escape(rehearsal.migration)}",
        f"**{title(rehearsal)}.** {escape(sentence(rehearsal))}",
        table(["", ""], [(name, escape(value)) for name, value in facts(rehearsal)]),
        section("What was tried, and what happened", _trials(rehearsal)),
        *(_problems(trial) for trial in rehearsal.trials if trial.status is CheckStatus.FAILED),
        section("Figures", *_figures(rehearsal)),
        section("How long the rollback takes", *_estimate(rehearsal.estimate)),
        section("What is not covered", listed(rehearsal.uncovered)),
        f"Rehearsal {code(rehearsal.id)} of snapshot {code(rehearsal.snapshot_id)}.",
    )


def rehearsal_to_html(rehearsal: Rehearsal) -> str:
    """The document as one page that fetches nothing."""
    return (
        environment()
        .get_template("rehearsal.html.j2")
        .render(
            rehearsal=rehearsal,
            title=title(rehearsal),
            level=_level(rehearsal),
            sentence=sentence(rehearsal),
            facts=facts(rehearsal),
            trials=[(trial, trial_title(trial), trial_story(trial)) for trial in rehearsal.trials],
            phases=figures.phases(rehearsal),
            steps=figures.steps(rehearsal),
            locks=figures.locks(rehearsal),
            basis=basis,
            expected=expected,
            timed=timed,
            shown=SHOWN,
            version=__version__,
        )
    )


def title(rehearsal: Rehearsal) -> str:
    """The result in two words."""
    if not rehearsal.proven:
        return "Not proven"
    return "Proven" if rehearsal.status is CheckStatus.PASSED else "Proven in part"


def sentence(rehearsal: Rehearsal) -> str:
    """The result in a sentence."""
    passed = sum(trial.status is CheckStatus.PASSED for trial in rehearsal.trials)
    writes = sum(trial.writes.acknowledged for trial in rehearsal.trials)
    lost = sum(len(trial.writes.lost) for trial in rehearsal.trials)
    return (
        f"{passed} of {plural(len(rehearsal.trials), 'trial')} passed; of {plural(writes, 'acknowledged write')}"
        f" {number(lost) if lost else 'none'} {'was' if lost < 2 else 'were'} lost."
    )


def expected(each: Expected) -> str:
    """An expected time, and how far the measurements leave it open."""
    between = (
        "" if each.low is None or each.high is None else f", between {duration(each.low)} and {duration(each.high)}"
    )
    return f"{duration(each.p50)}{between}"


def basis(estimate: Estimate) -> str:
    """What an estimate rests on."""
    sizes = " and ".join(f"{number(rows)}" for rows in estimate.measured)
    how = "measured" if estimate.measured == (estimate.rows,) else "a line through what was measured"
    return f"For {plural(estimate.rows, 'row')}: {how} on copies of {sizes} rows, {plural(estimate.trials, 'trial')}."


def timed(estimate: Estimate) -> list[tuple[str, str, Expected]]:
    """Kind, name and expected time of all that was estimated, the rollback as a whole first."""
    return [
        ("rollback", "planning and execution", estimate.rollback),
        *(("phase", name, each) for name, each in estimate.phases.items()),
        *(("step", name, each) for name, each in estimate.steps.items()),
    ]


def facts(rehearsal: Rehearsal) -> list[tuple[str, str]]:
    """What one wants to know of it at a glance."""
    return [
        ("Component", rehearsal.component),
        ("Rehearsed", f"{moment(rehearsal.created)} by {rehearsal.actor or 'nobody named'}"),
        ("Took", duration(rehearsal.finished - rehearsal.created)),
        ("Copy", f"{rehearsal.size}, {plural(rehearsal.rows, 'row')}, {rehearsal.versions.get('copy', '')}"),
        ("Drills passed", ", ".join(rehearsal.drills) or "none"),
        (
            "A rollback of all rows takes",
            expected(rehearsal.estimate.rollback) if rehearsal.estimate else "not measured",
        ),
        ("Engine", rehearsal.versions.get("engine", "")),
    ]


def trial_title(trial: Trial) -> str:
    """What was tried."""
    if trial.share is not None:
        return f"undisturbed, on {trial.share:.0%} of the rows"
    if not trial.drill:
        return "undisturbed"
    drill = DRILLS.get(trial.drill)
    return f"{trial.drill}: {drill.title}" if drill else trial.drill


def trial_story(trial: Trial) -> str:
    """What happened, in a line."""
    parts = [trial.detail]
    if trial.drill and trial.injected:
        parts.append(f"struck {plural(trial.injected, 'time')}")
    if trial.attempts:
        parts.append(f"done in {plural(trial.attempts, 'attempt')}")
    if trial.writes.acknowledged:
        parts.append(f"{plural(trial.writes.acknowledged, 'write')}, {number(len(trial.writes.lost))} lost")
    if trial.writes.listed:
        parts.append(f"{number(trial.writes.listed)} given up in the ledger")
    return "; ".join(filter(None, parts))


def _level(rehearsal: Rehearsal) -> str:
    if not rehearsal.proven:
        return "bad"
    return "good" if rehearsal.status is CheckStatus.PASSED else "attention"


def _trials(rehearsal: Rehearsal) -> str:
    rows = [
        (trial.status.value, escape(trial_title(trial)), escape(trial_story(trial)), _took(trial))
        for trial in rehearsal.trials
    ]
    return table(["Result", "Tried", "What happened", "Rollback took"], rows)


def _took(trial: Trial) -> str:
    return duration(trial.seconds["execute"]) if "execute" in trial.seconds else ""


def _problems(trial: Trial) -> str:
    found = [*trial.writes.lost, *trial.differences]
    more = [f"and {number(len(found) - SHOWN)} more"] if len(found) > SHOWN else []
    return section(
        f"What is wrong after {escape(trial_title(trial))}", escape(trial.detail), listed([*found[:SHOWN], *more])
    )


def _estimate(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return []
    rows = [(kind, escape(name), expected(each)) for kind, name, each in timed(estimate)]
    return [basis(estimate), table(["", "What", "Expected"], rows)]


def _figures(rehearsal: Rehearsal) -> list[str]:
    trials = figures.undisturbed(rehearsal)
    if not trials:
        return ["No undisturbed trial passed, so there are none."]
    timed = [
        *(("phase", name, spread) for name, spread in figures.phases(rehearsal).items()),
        *(("step", name, spread) for name, spread in figures.steps(rehearsal).items()),
    ]
    rows = [(kind, escape(name), duration(each.p50), duration(each.p95)) for kind, name, each in timed]
    locks = [(escape(what), duration(seconds)) for what, seconds in figures.locks(rehearsal).items()]
    writes = trials[0].writes
    return [
        f"Of {plural(len(trials), 'undisturbed trial')}.",
        table(["", "What", "p50", "p95"], rows),
        table(["Locked against applications", "Longest"], locks) if locks else "",
        f"The writer was acknowledged {number(writes.per_second)} writes a second; 95 of 100 took at most {number(writes.p95)} ms, "
        f"the slowest {number(writes.worst)} ms."
        if writes.acknowledged
        else "",
    ]
