"""Seals declared checks before a migration, and runs them, side by side, after it and after its rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Literal, NoReturn, TypeVar

from rollback_provider.core.base import Json
from rollback_provider.core.checks import Comparing, build_check
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import ComponentUnavailableError, ConfigurationError, RollbackError
from rollback_provider.core.schedule import run_side_by_side
from rollback_provider.core.verification import Check, CheckSpec, CheckStatus, SealedCheck

AT_ONCE = 8
"""Checks that run at the same time: each may hold a session of a database that applications need, too."""

T = TypeVar("T")


def seal_checks(specs: Sequence[CheckSpec], connections: ConnectionResolver) -> tuple[SealedCheck, ...]:
    """The declarations with all that running them takes. Connections are looked up, and what is compared later is measured.

    Raises ConfigurationError, before anything is measured, for a declaration that makes no sense, a file that cannot be read and a
    connection that does not exist; and RollbackError for a baseline that cannot be measured.
    """
    sealed = [build_check(spec).sealed() for spec in specs]
    for spec in sealed:
        if spec.connection:
            connections(spec.connection)
    measured = [spec.name for spec in sealed if isinstance(build_check(spec), Comparing)]
    by_name = {spec.name: spec for spec in sealed}

    def measure(name: str) -> Json:
        check = build_check(by_name[name])
        assert isinstance(check, Comparing)  # noqa: S101  chosen for it
        try:
            return check.measure(connections)
        except RollbackError:
            raise
        except Exception as error:
            why = f"no answer within {check.spec.timeout:g} s" if isinstance(error, TimeoutError) else str(error)
            raise ComponentUnavailableError(
                f"Check {name!r} cannot be measured before the migration: {why}", component=by_name[name].connection
            ) from error

    # One after the other: measured beside each other, they would measure each other.
    baselines = {name: measure(name) for name in measured}
    return tuple(SealedCheck(spec=spec, baseline=baselines.get(spec.name)) for spec in sealed)


def run_checks(
    checks: Sequence[SealedCheck], when: Literal["migration", "rollback"], connections: ConnectionResolver
) -> list[Check]:
    """Runs those that are declared for this time. One that gives no answer, or fails to run, is unknown, and hides no other."""
    chosen = {check.spec.name: check for check in checks if check.spec.when in {"both", when}}
    gate = BoundedSemaphore(AT_ONCE)

    def run(name: str) -> list[Check]:
        with gate:
            return _answers(chosen[name], connections)

    found = run_side_by_side(_needs(chosen), run).done
    return [check for name in chosen for check in found[name]]


def _needs(checks: Mapping[str, SealedCheck]) -> dict[str, tuple[str, ...]]:
    """Which checks must have ended before each: times are measured when nothing else is, and some kinds run one by one."""
    compared = [name for name, check in checks.items() if check.baseline is not None]
    last: dict[str, str] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for name, check in checks.items():
        kind = check.spec.kind
        if name in compared:
            continue
        needs[name] = (last[kind],) if kind in last else ()
        if _one_by_one(check.spec):
            last[kind] = name
    before = tuple(needs)
    for name in compared:
        needs[name] = before
        before = (name,)
    return needs


def _one_by_one(spec: CheckSpec) -> bool:
    try:
        return build_check(spec).one_by_one
    except ConfigurationError:  # its package is not installed here: it will be unknown, with that reason
        return False


def _answers(check: SealedCheck, connections: ConnectionResolver) -> list[Check]:
    spec, statement = check.spec, ""
    try:
        built = build_check(spec)
        statement = built.statement
        answers = list(within(spec.timeout, lambda: built.run(connections, check.baseline)))
    except TimeoutError:
        answers = [_unknown(spec, f"No answer within {spec.timeout:g} s")]
    except RollbackError as error:
        answers = [_unknown(spec, f"{error.what}. {error.next_step}".rstrip(". "))]
    except Exception as error:  # noqa: BLE001  whatever it is, the other checks must be heard
        answers = [_unknown(spec, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")]
    if not answers:
        answers = [_unknown(spec, "It gave no answer")]
    worst = CheckStatus.FAILED if spec.severity == "error" else CheckStatus.WARNING
    return [
        answer.model_copy(
            update={
                "status": worst if answer.status is CheckStatus.FAILED else answer.status,
                "statement": answer.statement or statement,
            }
        )
        for answer in answers
    ]


def _unknown(spec: CheckSpec, why: str) -> Check:
    return Check(component=spec.connection or spec.kind, name=spec.name, status=CheckStatus.UNKNOWN, detail=why)


def within(seconds: float, work: Callable[[], T]) -> T:
    """Calls `work`, and gives what it gives. Raises TimeoutError where that takes longer; it then goes on behind our back."""
    ended: SimpleQueue[Callable[[], T]] = SimpleQueue()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  it is raised where it can be handled
            ended.put(partial(_raise, error))
        else:
            ended.put(lambda: result)

    Thread(target=run, daemon=True).start()
    try:
        give = ended.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    return give()


def _raise(error: BaseException) -> NoReturn:
    raise error
