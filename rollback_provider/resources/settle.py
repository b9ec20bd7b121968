"""Decides for each resource what becomes of it, and what of that a person must know."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from rollback_provider.core.errors import ConflictError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.merge import Finding, Versions, merge
from rollback_provider.core.model import Action, LedgerEntry, Policy
from rollback_provider.resources.state import Change, Fields, State, as_text


class Settler:
    """One component's resources at three times, and the policy.

    :param left: what the migration left; None where no checkpoint tells, and every change since the snapshot may be anybody's
    """

    def __init__(self, component: str, noun: str, policy: Policy, then: State, left: State | None, now: State) -> None:
        self._component = component
        self._noun = noun
        self._policy = policy
        self._told = left is not None
        self.then = then
        self.now = now
        self.left = left if left is not None else then if policy.ambiguous == "keep" else now

    @classmethod
    def of_step(cls, component: str, noun: str, change: Change, now: Fields | None) -> Settler:
        """For a change that was planned: what has been written to the resource since stays."""
        states = ({} if each is None else {change.address: each} for each in (change.target, change.now, now))
        return cls(component, noun, Policy(), *states)

    @cached_property
    def addresses(self) -> list[str]:
        """Of the resources that the policy chooses."""
        every = {**self.then, **self.left, **self.now}
        return sorted(address for address in every if not self._policy.only or address in self._policy.only)

    def versions(self, address: str) -> Versions:
        """One resource at three times."""
        return Versions(self.then.get(address), self.left.get(address), self.now.get(address))

    def target(self, address: str) -> Fields | None:
        """What becomes of a resource."""
        return merge(self.versions(address), self._policy.conflicts)[0]

    def settle(self, address: str) -> tuple[Fields | None, list[LedgerEntry]]:
        """What becomes of a resource, and its entries in the ledger. Raises ConflictError where the policy says to stop."""
        versions = self.versions(address)
        target, findings = merge(versions, self._policy.conflicts)
        if not self._told and versions.now != versions.then:
            action = Action.KEPT if self._policy.ambiguous == "keep" else Action.AMBIGUOUS
            findings = [Finding(action, {**(versions.then or {}), **(versions.now or {})})]
        for finding in findings:
            self._refuse(finding.action, address)
        return target, [self._entry(address, finding, versions) for finding in findings]

    def settled(self, ledger: LedgerWriter) -> State:
        """All resources as they become; what the ledger must know is added to it."""
        ledger.examined(self._component, self._noun, len(self.addresses))
        state: State = {}
        for address in self.addresses:
            target, entries = self.settle(address)
            for entry in entries:
                ledger.add(entry)
            if target is not None:
                state[address] = target
        return state

    def changes(self, ledger: LedgerWriter) -> Iterator[Change]:
        """Resources that are not what they should be, by address."""
        settled = self.settled(ledger)
        for address in self.addresses:
            change = Change(address, self.now.get(address), settled.get(address))
            if change.now != change.target:
                yield change

    def _refuse(self, action: Action, address: str) -> None:
        contested = action is Action.CONFLICT_KEPT and self._policy.conflicts == "fail"
        if contested or (action is Action.AMBIGUOUS and self._policy.ambiguous == "fail"):
            who = "both the migration and somebody else have" if contested else "one cannot tell who has"
            raise ConflictError(f"{address}: {who} changed it since the snapshot", component=self._component)

    def _entry(self, address: str, finding: Finding, versions: Versions) -> LedgerEntry:
        before, migrated, now = (as_text(each, finding.fields) for each in versions)
        return LedgerEntry(
            component=self._component,
            scope=self._noun,
            action=finding.action,
            key={"address": address},
            before=before,
            migrated=migrated if self._told else None,
            now=now,
        )
