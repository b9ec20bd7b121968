"""One self-contained HTML page: no script, nothing fetched, light and dark, fit for printing."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from rollback_provider import __version__
from rollback_provider.core.document import Record
from rollback_provider.core.words import plural
from rollback_provider.report import facts, words
from rollback_provider.report.analysis import analysis
from rollback_provider.report.timeline import timeline


def to_html(record: Record) -> str:
    """The whole story of a rollback as one page. Everything that comes from the record is escaped."""
    run = record.execution
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            run=run,
            outcome=facts.outcome(record),
            timeline=timeline(record),
            analysis=analysis(record),
            verified=run.verification,
            migrated=record.migration_verification,
            ledger=facts.whole_ledger(record),
            groups=facts.ledger_groups(facts.whole_ledger(record)),
            lock=facts.longest_lock(run.steps),
            version=__version__,
        )
    )


@cache
def environment() -> Environment:
    """Of all pages."""
    environment = Environment(
        loader=PackageLoader("rollback_provider.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": words.duration,
        "moment": words.moment,
        "number": words.number,
        "shorten": words.shorten,
        "summary": words.summary,
    }
    environment.globals |= {
        "ATTRIBUTIONS": facts.ATTRIBUTIONS,
        "areas": facts.areas,
        "ledger_sentence": facts.ledger_sentence,
        "plural": plural,
        "policy_sentence": facts.policy_sentence,
        "score_sentence": facts.score_sentence,
        "sorted_checks": facts.sorted_checks,
        "step_seconds": facts.step_seconds,
        "tally_text": facts.tally_text,
    }
    return environment
