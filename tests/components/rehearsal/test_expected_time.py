"""How long a rollback takes: said by a rehearsal on shares of the rows, and compared with what it then took."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.capturer import take_checkpoint
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.executor import execute
from rollback_provider.core.planner import generate
from rollback_provider.core.record import load_record
from rollback_provider.core.rehearsal.certificate import issue
from rollback_provider.report.markdown import to_markdown
from rollback_provider.report.rehearsal import rehearsal_to_html, rehearsal_to_markdown
from tests.components.rehearsal.subject import Subject
from tests.fix_progress import RecordedProgress


def test_an_estimate_and_what_became_of_it(subject: Subject) -> None:
    rehearsal = subject.rehearse(size="sampled", rows=2, shares=(0.3, 0.6))
    assert rehearsal.proven, rehearsal.trials
    estimate = rehearsal.estimate
    assert estimate is not None
    counted = subject.database.rows("select (select count(*) from orders) + (select count(*) from customers)")
    assert estimate.rows > counted[0][0]
    small, large = estimate.measured
    assert 0.25 * estimate.rows < small < 0.5 * estimate.rows < large < 0.8 * estimate.rows, (
        "customers of orders come along"
    )
    assert [trial.share for trial in rehearsal.trials] == [None, 0.3, 0.6]
    assert "## How long the rollback takes" in rehearsal_to_markdown(rehearsal)
    assert "undisturbed, on 30% of the rows" in rehearsal_to_html(rehearsal)

    certificate = issue(subject.store, rehearsal, timedelta(days=1), actor="test")
    resolve, progress = subject.database.resolve, RecordedProgress()
    subject.database.run(subject.migration)
    take_checkpoint(subject.store, subject.snapshot_id, resolve, progress, actor="test")
    plan = generate(subject.store, subject.snapshot_id, resolve, progress, actor="test")
    planned = load_record(subject.store, plan.rollback_id)
    assert planned.rehearsed is not None
    assert (planned.rehearsed.certificate_id, planned.rehearsed.took) == (certificate.id, None)
    record = execute(subject.store, plan.rollback_id, resolve, progress, actor="test")
    assert record.rehearsed is not None
    assert record.rehearsed.took == pytest.approx((plan.duration + record.execution.duration).total_seconds())
    assert record.rehearsed.expected == estimate.rollback.p50
    assert f"were rehearsed on {estimate.rows} rows to take" in to_markdown(record)
    assert "off by" in to_markdown(record)


def test_the_rollback_of_a_share_has_the_steps_of_the_whole(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all rows are too many for one transaction, those of a share are, too."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", 20)
    small, large = subject.rehearse(size="sampled", rows=2, shares=(0.3, 0.6)).trials[1:]
    assert len(small.steps) == len(large.steps) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": (0.1, 0.2)}, "of the size sampled, not full"),
        ({"size": "schema", "shares": (0.1, 0.2)}, "of the size sampled, not schema"),
        ({"size": "sampled", "shares": (0.1,)}, "two different shares between 0 and 1, not 0.1"),
        ({"size": "sampled", "shares": (0.1, 1.0)}, "two different shares between 0 and 1, not 0.1, 1"),
    ],
)
def test_shares_that_say_nothing(subject: Subject, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        subject.rehearse(**options)
