"""Markdown: the report word by word, what an approver reads, and the runbook of a bundle."""

from __future__ import annotations

import json

import pytest

from rollback_provider.core.model import Ledger, Plan
from rollback_provider.core.record import schema
from rollback_provider.core.verification import Verification
from rollback_provider.report.document import to_json
from rollback_provider.report.markdown import code, escape, fence, to_approve, to_markdown
from rollback_provider.report.runbook import runbook
from tests.fix_records import STEPS, RecordMaker

REPORT = """\
# Rollback of orders-2026-11

**Rolled back, with warnings.** 2 steps done in 3.1 seconds; 2 checks found what the plan promised, \
with 1 warning to read.

|  |  |
| --- | --- |
| Rollback | `rollback-orders-2026-11-20261123T151050Z-3f9ac2b1e0d4` |
| Status | verified |
| Planned | 2026-11-23 15:10:50 UTC by mira |
| Began | 2026-11-23 15:11:01 UTC |
| Duration | 3.1 seconds in 2 attempts |
| Longest lock | 1 ms on public.orders |
| Snapshot | `orders-2026-11-20261123T145000Z-9c8b7a6d5e4f`, 2026-11-23 14:50:00 UTC |
| Checkpoint | `checkpoint-20261123T150900Z-0a1b2c3d4e5f` |
| Policy | Conflicts keep the application's value; changes that nothing attributes are taken back and listed. |
| Attribution | The caller vouched that only the migration wrote between snapshot and checkpoint. |
| Component `orders` | postgres: 5 tables, 34.1 MB |

## Analysis

### What triggered it

Nobody has said why.

### What was affected

- 4 entries; 1 written row or value leaves the system and stays in the ledger alone. 200,001 rows compared
- Compared: orders/public.orders, orders/public.vouchers
- Merge 2,000 rows of public.orders: 1,997 rows restored, 3 conflicts kept
- Time between the snapshot and the end of the rollback: 21 minutes 4 seconds
- Longest lock against applications: 1 ms on public.orders

### Timeline

| When | What |
| --- | --- |
| 2026-11-23 14:50:00 UTC | Snapshot taken |
| 2026-11-23 15:10:50 UTC | Rollback planned |
| 2026-11-23 15:11:01 UTC | Execution began |
| 2026-11-23 15:11:04 UTC | Execution finished |
| 2026-11-23 15:11:05 UTC | Verification: warning |

### Estimate against real

| Step | Expected | Took | Off by |
| --- | --- | --- | --- |
| Rename column note back to remark on public.orders | 500 ms | 400 ms | -20 % |
| Merge 2,000 rows of public.orders | 4 seconds | 2.7 seconds | -32 % |
| Together | 4.5 seconds | 3.1 seconds | -31 % |

### Left to decide

| Where | Entries | What became of them |
| --- | --- | --- |
| orders public.vouchers | 1 | Discarded: has no place in the snapshot's schema; its values stay in the ledger |
| orders public.orders | 3 | Conflict: changed by the migration, then by an application, whose value stays |

### Before the next try

- After the rollback, check column order of orders public.orders: warning, a column that came back stands last: remark: was 4th, is 7th
- Step orders-002 was expected to take 4 seconds and took 2.7 seconds: rehearse again

## Checks

| Result | Check | Of | Found |
| --- | --- | --- | --- |
| warning | column order | orders `public.orders` | a column that came back stands last |
| passed | schema | orders | 3f9ac2b1 |

column order of orders `public.orders`:

- remark: was 4th, is 7th

## Ledger

4 entries; 1 written row or value leaves the system and stays in the ledger alone. 200,001 rows compared.

| Where | Entries | What becomes of them |
| --- | --- | --- |
| orders `public.vouchers` | 1 | Discarded: has no place in the snapshot's schema; its values stay in the ledger |
| orders `public.orders` | 3 | Conflict: changed by the migration, then by an application, whose value stays |

orders `public.vouchers`, discarded, every entry:

| Key | Snapshot | Migration | Now | Why |
| --- | --- | --- | --- | --- |
| `code=SUMMER` | nothing | nothing | `code=SUMMER`, `percent=null` | the table is not in the snapshot |

orders `public.orders`, conflict kept, the first 1 of 3:

| Key | Snapshot | Migration | Now | Why |
| --- | --- | --- | --- | --- |
| `id=17` | `status=paid` | `status=PAID` | `status=shipped` |  |

## Steps

| Step | What it does | State | Took | Locked |
| --- | --- | --- | --- | --- |
| `orders-001` | orders: Rename column note back to remark on public.orders | done | 400 ms | public.orders 1 ms |
| `orders-002` | orders: Merge 2,000 rows of public.orders. 1,997 rows restored, 3 conflicts kept | done, 2 attempts \
| 2.7 seconds | nothing |

## To know

- orders: public.orders.remark comes back as the last column

## Scripts

### Database

```sql
-- orders-001
alter table public.orders rename column note to remark;
```
"""


def test_report_word_by_word(make_record: RecordMaker) -> None:
    assert to_markdown(make_record()) == REPORT


def test_approver_sees_ledger_before_steps_and_notes(plan: Plan) -> None:
    text = to_approve(plan)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Roll back orders-2026-11?",
        "## What is lost, merged or in conflict",
        "## Steps",
        "## To know",
        "## Terms",
    ]
    assert "2 steps to go back to snapshot `orders-2026-11-20261123T145000Z-9c8b7a6d5e4f`" in text
    assert "| `id=17` | `status=paid` | `status=PAID` | `status=shipped` |" in text
    assert "public.orders.remark comes back as the last column" in text
    assert "There is no checkpoint" in text
    assert "select 1;" not in text


def test_approver_of_an_empty_plan_is_told_so(plan: Plan) -> None:
    empty = plan.components[0].model_copy(update={"steps": (), "notes": ()})
    text = to_approve(plan.model_copy(update={"components": (empty,), "ledger": Ledger()}))
    assert "there is nothing to take back" in text
    assert "Nothing is discarded, merged or in conflict." in text
    assert "## Steps" not in text


@pytest.mark.parametrize(
    ("text", "escaped", "span"),
    [
        ("public.orders", "public.orders", "`public.orders`"),
        ("a|b", r"a\|b", r"`a\|b`"),
        ("two\nlines", "two lines", "`two lines`"),
        ("<img src=x>", "&lt;img src=x&gt;", "`<img src=x>`"),
        ("[x](y) *b* _i_ `c`", r"\[x\](y) \*b\* \_i\_ \`c\`", "`` [x](y) *b* _i_ `c` ``"),
        ("&lt;", "&amp;lt;", "`&lt;`"),
    ],
)
def test_text_stays_text(text: str, escaped: str, span: str) -> None:
    assert escape(text) == escaped
    assert code(text) == span


def test_block_cannot_be_closed_from_within() -> None:
    assert fence("```\n# not a heading", "sql") == "````sql\n```\n# not a heading\n````"


def test_runbook_of_a_plan_has_each_script_in_order(plan: Plan) -> None:
    text = runbook(plan, ["rollback.sql", "data/orders.copy"])
    assert text.index("## Before") < text.index("select 1;") < text.index("select 2;") < text.index("## Check")
    assert "psql --no-psqlrc --set ON_ERROR_STOP=1 --file rollback.sql" in text
    assert "`data/orders.copy`, `rollback.sql`" in text
    assert "4 entries; 1 written row or value leaves the system" in text
    assert "already" not in text


def test_runbook_without_one_script_for_all_goes_from_folder_to_folder(plan: Plan) -> None:
    text = runbook(plan, ["orders/rollback.sql", "orders/rows.copy", "other/readme"])
    assert "(cd orders && psql --no-psqlrc --set ON_ERROR_STOP=1 --file rollback.sql)" in text
    assert "cd other" not in text


def test_runbook_of_an_interrupted_rollback_names_what_is_done(make_record: RecordMaker) -> None:
    failed = STEPS[1].model_copy(update={"status": "failed", "error": "gone"})
    run = {"status": "ready", "steps": (STEPS[0], failed), "error": "gone", "verification": Verification()}
    text = runbook(make_record(execution=run))
    assert "> **Rollback failed** when this was written" in text
    assert "> Steps that are done already, not to be run again: `orders-001`." in text
    assert "alter table public.orders rename column note to remark;" in text


def test_json_is_the_output_document(make_record: RecordMaker) -> None:
    from jsonschema import Draft202012Validator, FormatChecker

    text = to_json(make_record(actor="Mira Þórsdóttir"))
    document = json.loads(text)
    Draft202012Validator(schema(), format_checker=FormatChecker()).validate(document)
    assert document["execution"]["status"] == "verified"
    assert "Mira Þórsdóttir" in text
    assert text.endswith("}\n")
