"""The memory component: the component protocol, method by method."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from threading import Event
from typing import Any, ClassVar, cast

from rollback_provider.components.memory.merge import Rules
from rollback_provider.components.memory.systems import Row, State, System, find_system, put_row
from rollback_provider.components.memory.undoing import before_and_after, written
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Notes, Progress
from rollback_provider.core.errors import (
    ComponentError,
    ComponentUnavailableError,
    ConfigurationError,
    ConflictError,
    UnsupportedError,
)
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.merge import Finding, Versions, came_about
from rollback_provider.core.model import (
    Action,
    ComponentPlan,
    ComponentSpec,
    ComponentState,
    LedgerEntry,
    Policy,
    Step,
    StepOutcome,
    utcnow,
)
from rollback_provider.core.repository import digest_of
from rollback_provider.core.verification import Check, CheckStatus


class MemoryComponent:
    """One in-process system under migration."""

    kind: ClassVar[str] = "memory"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        if set(spec.options) != {"system"} or not isinstance(spec.options["system"], str):
            raise ConfigurationError(
                "Kind 'memory' takes exactly one option, the text `system`",
                component=spec.name,
                next_step="Correct its options",
            )
        self.spec = spec
        self._name: str = spec.options["system"]
        self._connections = connections
        self._cancelled = Event()

    def identity(self) -> str:
        """Names the system."""
        return f"memory:{self._name}"

    def capture(self, blobs: BlobWriter, progress: Progress) -> ComponentState:
        """Copies the whole state into one blob."""
        taken = self._state(self._read(), blobs)
        progress.update(self.spec.name, done=taken.summary["rows"], total=taken.summary["rows"])
        return taken

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """Copies the whole state again."""
        return self.capture(blobs, progress)

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """One step for each scope that is not what it should be."""
        then: State = _load(blobs, snapshot.payload["state"])
        now = self._read()
        if checkpoint:
            left: State = _load(blobs, checkpoint.payload["state"])
        else:
            left = then if policy.ambiguous == "keep" else now
        if policy.part != "all" or policy.rows:
            raise UnsupportedError("Scopes go back as a whole", component=self.spec.name)
        steps: list[Step] = []
        for number, scope in enumerate(_chosen(policy, {**then, **left, **now}), start=1):
            rules = Rules.between(scope, then, left, policy.fill)
            changes = {}
            keys = _keys(scope, then, left, now)
            ledger.examined(self.spec.name, scope, len(keys))
            for key in keys:
                rows = _versions(scope, key, then, left, now)
                target, findings = rules.settle(rows, policy.conflicts)
                if not checkpoint and rows.now != rows.then:
                    action = Action.KEPT if policy.ambiguous == "keep" else Action.AMBIGUOUS
                    findings = [Finding(action, {**(rows.then or {}), **(rows.now or {})})]
                for finding in findings:
                    self._refuse(finding.action, policy, scope, key)
                    ledger.add(self._entry(scope, key, finding, rows))
                if target != rows.now:
                    changes[key] = [rows.now, target]
            if changes or (scope in now) != _stays(scope, then, left, now):
                steps.append(self._step(f"{self.spec.name}.{number:03}", scope, changes, rules, blobs))
            progress.update(f"compare {scope}", done=len(keys), total=len(keys))
        return ComponentPlan(
            component=self.spec.name,
            fingerprint=self._scopes(),
            steps=tuple(steps),
            payload={"then": snapshot.payload["state"], "left": _save(blobs, left), "only": list(policy.only)},
        )

    def fingerprint(self, snapshot: ComponentState, plan: ComponentPlan, blobs: BlobReader) -> str:
        """Of the names of all scopes."""
        return self._scopes()

    def _scopes(self) -> str:
        return digest_of(sorted(self._read()))

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Settles a scope row by row. What belongs in the ledger is noted before a row is written, that it is settled after.

        An application's write since the plan is never undone: it is kept, or listed where it has no place.
        """
        system, work, scope = self._system(), _load(blobs, step.payload["work"]), step.payload["scope"]
        rules, changes = Rules(**work["rules"]), work["changes"]
        ledger, earlier = LedgerWriter(blobs), notes.earlier()
        notes.add(
            {"begun": scope}
        )  # before the first effect: whoever finds no note may rely on it that nothing was done
        settled: set[str] = {note["settled"] for note in earlier if "settled" in note}
        written = sum(note["written"] for note in earlier if "settled" in note)
        listed = [LedgerEntry.model_validate(note["listed"]) for note in earlier if "listed" in note]
        for entry in listed:
            ledger.add(entry)
        begun = {note["writes"]: note for note in earlier if "writes" in note}
        while remaining := sorted(({*changes, *self._read().get(scope, {})}) - settled):
            for key in remaining:
                planned, target = changes.get(key, (None, None))
                self._stop_if_cancelled()
                with system.lock:
                    rows = Versions(target, planned, system.state.get(scope, {}).get(key))
                    if key in begun and came_about(begun[key]["was"], begun[key]["is"], rows.now):
                        settled.add(key)
                        continue
                    result, findings = rules.settle(rows, "keep")
                    for found in (self._entry(scope, key, finding, rows) for finding in findings):
                        if found not in listed:
                            notes.add({"listed": found.to_json()})
                            ledger.add(found)
                    if result != rows.now:
                        notes.add({"writes": key, "was": rows.now, "is": result})
                        put_row(system.state.setdefault(scope, {}), key, result)
                notes.add({"settled": key, "written": result != rows.now})
                settled.add(key)
                written += result != rows.now
                progress.update(step.title, done=len(settled), total=len(changes))
        with system.lock:
            exists = scope in system.state
            if rules.created:
                system.state.pop(scope, None)
            else:
                system.state.setdefault(scope, {})
        changed = bool(written) or exists == rules.created
        return StepOutcome(changed=changed, detail=f"{written} rows written", ledger=ledger.seal())

    def verify(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        plan: ComponentPlan,
        ledger: Iterable[Json],
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> list[Check]:
        """Compares every row with the snapshot; what differs must be an application's."""
        then: State = _load(blobs, plan.payload["then"])
        left: State = _load(blobs, plan.payload["left"])
        now = self._read()
        if plan.payload["only"]:
            then, left, now = (
                {scope: rows for scope, rows in state.items() if scope in plan.payload["only"]}
                for state in (then, left, now)
            )
        stale = sorted(scope for scope in {**then, **left, **now} if (scope in now) != _stays(scope, then, left, now))
        checks = [self._check("scopes", "", len(then), len(now), stale, f"{len(then)} scopes in the snapshot")]
        for scope in sorted({**then, **now}):
            rules = Rules.between(scope, then, left, {})
            same, wrong = 0, []
            keys = _keys(scope, then, now)
            for key in keys:
                rows = _versions(scope, key, then, left, now)
                same += rows.then == rows.now
                if rules.settle(rows, "keep")[0] != rows.now:
                    wrong.append(f"{scope}/{key} still holds what the migration left")
            detail = f"{same} rows as in the snapshot, {len(keys) - same} written by applications"
            checks.append(self._check("rows", scope, len(then.get(scope, {})), len(now.get(scope, {})), wrong, detail))
            progress.update(f"verify {scope}", done=len(keys), total=len(keys))
        return [*checks, *self._restored(ledger, now)]

    def before_rollback(
        self, snapshot: ComponentState, plan: ComponentPlan, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Copies the whole state."""
        return self._state(self._read(), blobs)

    def undone(
        self,
        snapshot: ComponentState,
        before: ComponentState,
        plan: ComponentPlan,
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> tuple[ComponentState, ComponentState]:
        """Lays each row that a step has written over the state before: as it was then, and as the step left it."""
        then: State = _load(blobs, before.payload["state"])
        writes = {step.payload["scope"]: written(notes(step.id)) for step in plan.steps}
        then, left = before_and_after(then, writes, self._read())
        return self._state(then, blobs), self._state(left, blobs)

    def scopes(self, snapshot: ComponentState, blobs: BlobReader) -> Iterable[str]:
        """Scopes of then and now."""
        return sorted({**_load(blobs, snapshot.payload["state"]), **self._read()})

    def shares(self, other: ComponentSpec) -> bool:
        """A system is one whole."""
        return True

    def compose(
        self,
        earlier: tuple[ComponentState, ComponentState],
        later: tuple[ComponentState, ComponentState],
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
    ) -> tuple[ComponentState, ComponentState]:
        """Settles each row of the later snapshot as if the earlier migration were taken back in it."""
        then, left, between = (cast(State, _load(blobs, state.payload["state"])) for state in (*earlier, later[0]))
        back: State = {}
        for scope in sorted({**then, **left, **between}):
            rules = Rules.between(scope, then, left, policy.fill)
            if _stays(scope, then, left, between):
                back[scope] = {}
            for key in _keys(scope, then, left, between):
                rows = _versions(scope, key, then, left, between)
                target, findings = rules.settle(rows, policy.conflicts)
                for finding in findings:
                    self._refuse(finding.action, policy, scope, key)
                    ledger.add(self._entry(scope, key, finding, rows))
                if target is not None:
                    back[scope][key] = target
        return self._state(back, blobs), later[1]

    def export(self, plan: ComponentPlan, blobs: BlobReader) -> Iterator[tuple[str, bytes]]:
        """Each step as its script and the rows it writes."""
        for step in plan.steps:
            yield f"{plan.component}/{step.id}.txt", step.script.encode()
            yield f"{plan.component}/{step.id}.json", blobs.get_blob(step.payload["work"])

    def cancel(self) -> None:
        """Stops `apply` before its next row."""
        self._cancelled.set()

    def close(self) -> None:
        """Forgets a cancellation."""
        self._cancelled.clear()

    def _state(self, state: State, blobs: BlobWriter) -> ComponentState:
        return ComponentState(
            spec=self.spec,
            identity=self.identity(),
            captured=utcnow(),
            payload={"state": _save(blobs, state)},
            summary={"scopes": len(state), "rows": sum(len(rows) for rows in state.values())},
        )

    def _system(self) -> System:
        system = find_system(self._name)
        if system is None:
            raise ComponentUnavailableError(
                f"There is no memory system {self._name!r} in this process", component=self.spec.name
            )
        if system.password is not None:
            given = self._connections(self.spec.connection).password if self.spec.connection else None
            if given != system.password:
                raise ComponentUnavailableError(
                    f"Memory system {self._name!r} refuses the password", component=self.spec.name
                )
        return system

    def _read(self) -> State:
        self._stop_if_cancelled()
        system = self._system()
        with system.lock:
            return deepcopy(system.state)

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise ComponentError(
                "Cancelled",
                component=self.spec.name,
                state="The journal holds what was done",
                next_step="Execute the same rollback again",
            )

    def _refuse(self, action: Action, policy: Policy, scope: str, key: str) -> None:
        contested = action is Action.CONFLICT_KEPT and policy.conflicts == "fail"
        if contested or (action is Action.AMBIGUOUS and policy.ambiguous == "fail"):
            who = "both the migration and an application have" if contested else "one cannot tell who has"
            raise ConflictError(f"{scope}/{key}: {who} changed it since the snapshot", component=self.spec.name)

    def _entry(self, scope: str, key: str, finding: Finding, rows: Versions) -> LedgerEntry:
        before, migrated, current = (
            None if row is None else {column: row[column] for column in finding.fields if column in row} for row in rows
        )
        return LedgerEntry(
            component=self.spec.name,
            scope=scope,
            action=finding.action,
            key={"key": key},
            before=before,
            migrated=migrated,
            now=current,
        )

    def _step(
        self, step_id: str, scope: str, changes: dict[str, list[Row | None]], rules: Rules, blobs: BlobWriter
    ) -> Step:
        lines = [
            f"{'delete' if to is None else 'write'} {scope}/{key} {'' if to is None else to}"
            for key, (_, to) in changes.items()
        ]
        work = {"changes": changes, "rules": {"created": rules.created, "added": rules.added, "fills": rules.fills}}
        return Step(
            id=step_id,
            component=self.spec.name,
            title=f"Remove {scope}" if rules.created else f"Restore {scope}",
            section="database",
            script="\n".join([*map(str.rstrip, lines), *([f"remove {scope}"] if rules.created else [])]),
            payload={"scope": scope, "work": _save(blobs, work)},
        )

    def _check(self, name: str, scope: str, expected: int, actual: int, wrong: list[str], detail: str) -> Check:
        return Check(
            component=self.spec.name,
            name=name,
            scope=scope,
            status=CheckStatus.FAILED if wrong else CheckStatus.PASSED,
            expected=str(expected),
            actual=str(actual),
            detail=f"{len(wrong)} differences" if wrong else detail,
            differences=tuple(wrong[:100]),
        )

    def _restored(self, ledger: Iterable[Json], now: State) -> Iterator[Check]:
        """Conflicts that were to go back to the snapshot must not hold the application's value still."""
        listed, wrong = 0, []
        for entry in ledger:
            if entry["action"] != Action.CONFLICT_RESTORED:
                continue
            listed += 1
            row, old = now.get(entry["scope"], {}).get(entry["key"]["key"]), entry.get("now")
            if (row is None) == (old is None) and (old is None or (row or {}).items() >= old.items()):
                wrong.append(f"{entry['scope']}/{entry['key']['key']} still holds the application's value")
        if listed:
            yield self._check("conflicts", "", listed, listed - len(wrong), wrong, f"{listed} conflicts restored")


def _stays(scope: str, then: State, left: State, now: State) -> bool:
    """Whether a scope exists once the rollback is done."""
    return scope in now if (scope in then) == (scope in left) else scope in then


def _chosen(policy: Policy, scopes: Iterable[str]) -> list[str]:
    return sorted(scope for scope in scopes if not policy.only or scope in policy.only)


def _keys(scope: str, *states: State) -> list[str]:
    return sorted({key for state in states for key in state.get(scope, {})})


def _versions(scope: str, key: str, then: State, left: State, now: State) -> Versions:
    return Versions(*(state.get(scope, {}).get(key) for state in (then, left, now)))


def _save(blobs: BlobWriter, document: Any) -> str:
    return blobs.put_blob(json.dumps(document, sort_keys=True).encode()).digest


def _load(blobs: BlobReader, digest: str) -> Any:
    return json.loads(blobs.get_blob(digest))
