"""The HTML page: whole, closed, harmless, and with a bar for every step."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rollback_provider.core.model import Action, Ledger, LedgerCount, LedgerEntry
from rollback_provider.core.verification import Check, CheckStatus, Verification
from rollback_provider.report.html import to_html
from rollback_provider.report.timeline import LABEL, SMALLEST, WIDTH, timeline
from tests.fix_records import BEGAN, STEPS, RecordMaker, at

VOID = {"meta", "br"}
HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp;"


class Page(HTMLParser):
    """What a page is made of. Fails where a tag is not closed, or closed without having been opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag that closes itself."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Closes a tag."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Notes text."""
        if self._open and self._open[-1] != "style":
            self.text += data

    def of_class(self, *names: str) -> list[dict[str, str | None]]:
        """Attributes of the tags that have all these classes."""
        return [attrs for _, attrs in self.tags if set(names) <= set((attrs.get("class") or "").split())]


def test_page_tells_everything(make_record: RecordMaker) -> None:
    record = make_record()
    page = Page(to_html(record))
    for fact in (
        record.rollback_id,
        record.snapshot.id,
        str(record.checkpoint_id),
        "Rolled back, with warnings",
        "2 steps done in 3.1 seconds",
        "public.orders.remark comes back as the last column",
        "alter table public.orders rename column note to remark;",
        "remark: was 4th, is 7th",
        "the table is not in the snapshot",
        "200,000",
        "5 tables, 34.1 MB",
        "mira",
    ):
        assert fact in page.text, fact
    assert page.of_class("banner", "attention")


def test_page_loads_nothing(make_record: RecordMaker) -> None:
    text = to_html(make_record())
    page = Page(text)
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    )
    assert not [attrs for _, attrs in page.tags if attrs.keys() & {"src", "href", "srcset", "action", "data"}]
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)


def test_page_fits_light_dark_and_print(make_record: RecordMaker) -> None:
    text = to_html(make_record())
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def hostile(make_record: RecordMaker) -> dict[str, Any]:
    """Fields of a record in which every text is an attempt at markup."""
    entry = LedgerEntry(
        component=HOSTILE,
        scope=HOSTILE,
        action=Action.DISCARDED,
        key={HOSTILE: HOSTILE},
        before={HOSTILE: None},
        now={HOSTILE: HOSTILE},
        reason=HOSTILE,
    )
    record = make_record()
    return {
        "rollback_id": HOSTILE,
        "migration": HOSTILE,
        "actor": HOSTILE,
        "checkpoint_id": HOSTILE,
        "notes": (HOSTILE,),
        "policy": record.policy.model_copy(update={"fill": {HOSTILE: HOSTILE}}),
        "scripts": record.scripts.model_copy(update={"database": HOSTILE, "application": HOSTILE}),
        "snapshot": record.snapshot.model_copy(
            update={"id": HOSTILE, "components": ({"name": HOSTILE, "kind": HOSTILE, "summary": {HOSTILE: 1}},)}
        ),
        "ledger": Ledger(
            counts=(LedgerCount(component=HOSTILE, scope=HOSTILE, action=Action.DISCARDED, count=1),),
            examined={HOSTILE: 1},
            sample=(entry,),
        ),
        "execution": {
            "error": HOSTILE,
            "steps": (
                STEPS[0].model_copy(
                    update={
                        "id": HOSTILE,
                        "component": HOSTILE,
                        "title": HOSTILE,
                        "detail": HOSTILE,
                        "error": HOSTILE + "!",
                        "locks": HOSTILE,
                        "lock_seconds": {HOSTILE: 1.0},
                    }
                ),
            ),
            "verification": Verification(
                status=CheckStatus.FAILED,
                finished=at(5),
                checks=(
                    Check(
                        component=HOSTILE,
                        name=HOSTILE,
                        scope=HOSTILE,
                        status=CheckStatus.FAILED,
                        expected=HOSTILE,
                        actual=HOSTILE + "!",
                        detail=HOSTILE,
                        differences=(HOSTILE,),
                    ),
                ),
            ),
        },
    }


def test_hostile_names_are_text(make_record: RecordMaker) -> None:
    clean, dirty = Page(to_html(make_record())), Page(to_html(make_record(**hostile(make_record))))
    assert {tag for tag, _ in dirty.tags} <= {tag for tag, _ in clean.tags}
    assert not [attrs for _, attrs in dirty.tags if "onerror" in attrs]
    assert dirty.text.count("<script>alert('x')</script>") > 25


def test_timeline_has_a_bar_for_each_step_and_the_checks(make_record: RecordMaker) -> None:
    page = Page(to_html(make_record()))
    assert len(page.of_class("bar")) == len(STEPS) + 1
    assert page.of_class("bar", "check-warning")
    assert len([attrs for tag, attrs in page.tags if tag == "rect" and attrs.get("class") == "lock"]) == 2
    for step in STEPS:
        assert step.title[:30] in page.text


def test_timeline_is_to_scale(make_record: RecordMaker) -> None:
    picture = timeline(make_record())
    first, second, checks = picture.bars
    unit = first.width / 0.4
    assert first.x == LABEL
    assert second.x == pytest.approx(LABEL + 0.4 * unit)
    assert second.width == pytest.approx(2.7 * unit)
    assert checks.x + checks.width == pytest.approx(LABEL + 4.6 * unit)
    assert second.remark == "2.7 s, 2 attempts"
    assert first.lock == SMALLEST
    assert all(LABEL <= place < WIDTH for place, _ in picture.ticks)
    assert [text for _, text in picture.ticks] == ["0 s", "1 s", "2 s", "3 s", "4 s"]


def test_timeline_of_a_failure_shows_what_failed_and_what_never_began(make_record: RecordMaker) -> None:
    failed = STEPS[1].model_copy(update={"status": "failed", "error": "gone"})
    pending = STEPS[1].model_copy(update={"status": "pending", "started": None, "finished": None, "attempts": 0})
    running = STEPS[1].model_copy(update={"status": "running", "finished": None, "attempts": 1})
    run = {
        "status": "ready",
        "verification": Verification(),
        "finished": None,
        "steps": (STEPS[0], failed, pending, running),
    }
    picture = timeline(make_record(execution=run))
    assert [bar.kind for bar in picture.bars] == ["done", "failed", "pending", "running"]
    assert [bar.remark for bar in picture.bars[1:]] == ["failed, 2.7 s, 2 attempts", "not begun", "not finished"]
    assert picture.bars[2].width == SMALLEST
    assert picture.bars[3].width == pytest.approx(picture.bars[1].width)


def test_timeline_of_a_plan_shows_what_is_expected(make_record: RecordMaker) -> None:
    pending = tuple(
        step.model_copy(update={"status": "pending", "started": None, "finished": None, "lock_seconds": {}})
        for step in STEPS
    )
    run = {"status": "ready", "verification": Verification(), "steps": pending, "started": None, "finished": None}
    picture = timeline(make_record(execution=run | {"attempts": 0}))
    assert picture.expected
    assert [bar.remark for bar in picture.bars] == ["expected 500 ms", "expected 4 s"]
    assert picture.bars[1].width == pytest.approx(8 * picture.bars[0].width)


def test_timeline_without_steps_is_drawn(make_record: RecordMaker) -> None:
    page = Page(to_html(make_record(execution={"steps": (), "finished": BEGAN})))
    assert len(page.of_class("bar")) == 1
    assert "nothing differs from the snapshot" in page.text
