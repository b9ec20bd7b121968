"""What can be wrong with releases: gone, damaged, unknown to git, and a service that does not reload."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.registry import build
from rollback_provider.core.repository import Store
from tests.contract.suite import Scenario
from tests.contract.test_release import ReleaseHarness
from tests.parts.repository import git


@pytest.fixture
def harness(releases: Path, tmp_path: Path) -> ReleaseHarness:
    return ReleaseHarness(releases, tmp_path / "srv")


@pytest.fixture
def scenario(harness: ReleaseHarness, memory_store: Store) -> Scenario:
    return Scenario(harness, memory_store)


def _options(harness: ReleaseHarness, **options: object) -> None:
    harness.spec = harness.spec.model_copy(update={"options": {**harness.spec.options, **options}})


def test_a_release_that_is_gone_is_made_again_from_its_commit(harness: ReleaseHarness, scenario: Scenario) -> None:
    before = harness.state()
    snapshot = scenario.snapshot()
    harness.migrate()
    harness._lead("admin", "v2")
    shutil.rmtree(harness.root / "releases/v1")
    plan = scenario.generate(snapshot)
    assert "v1 is gone: it is made again from commit" in str(plan.components[0].notes)
    scenario.execute(plan)
    shutil.copy(harness.root / "web/REVISION", harness.root / "commit")
    (harness.root / "web/REVISION").unlink()
    scenario.assert_back(plan, before)
    assert (harness.root / "commit").read_text().strip() == git(harness.root / "repository", "rev-parse", "v1")
    assert (harness.root / "web/run").stat().st_mode & 0o111


def test_a_release_that_was_edited_is_made_again_and_the_edited_one_kept_aside(
    harness: ReleaseHarness, scenario: Scenario
) -> None:
    snapshot = scenario.snapshot()
    (harness.root / "web/version").write_text("1, patched by night")
    plan = scenario.generate(snapshot)
    assert "is moved aside" in str(plan.components[0].notes)
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"
    assert (harness.root / "web/version").read_text() == "1"
    (aside,) = (harness.root / "releases").glob("v1.aside-*")
    assert (aside / "version").read_text() == "1, patched by night"
    assert not [*harness.root.glob("releases/.release-*")]


def test_a_release_that_cannot_be_made_again_stops_before_a_link_is_swapped(
    harness: ReleaseHarness, scenario: Scenario
) -> None:
    snapshot = scenario.snapshot()
    harness.migrate()
    harness._lead("admin", "v2")
    plan = scenario.generate(snapshot)
    migrated = harness.state()
    shutil.rmtree(harness.root / "releases/v1")
    git(harness.root / "repository", "config", "core.attributesFile", str(harness.root / "attributes"))
    (harness.root / "attributes").write_text("version export-ignore\n")
    with pytest.raises(StepFailedError, match="does not give the release"):
        scenario.execute(plan)
    assert harness.state() == migrated
    (harness.root / "attributes").unlink()
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"


def test_a_commit_that_is_lost_together_with_its_release_is_refused_by_the_plan(
    harness: ReleaseHarness, scenario: Scenario
) -> None:
    snapshot = scenario.snapshot()
    harness.migrate()
    harness._lead("admin", "v2")
    shutil.rmtree(harness.root / "releases/v1")
    shutil.rmtree(harness.root / "repository")
    git(harness.root, "init", "--quiet", "repository")
    with pytest.raises(UnsupportedError, match=r"v1 is gone, and commit \w+ is not in"):
        scenario.generate(snapshot)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda place: place.rename(place.with_name("unknown")), "does not say which commit"),
        (lambda place: (place / "built.js").write_text("x"), "is not what commit .* gives: built.js"),
        (lambda place: (place / "run").chmod(0o644), "gives: run"),
        (lambda place: (place / "REVISION").write_text("--help"), "does not say which commit"),
        (shutil.rmtree, "is not what commit"),
    ],
    ids=["of an unknown name", "with more", "that cannot be run", "of an unknown revision", "that is gone"],
)
def test_a_release_that_its_commit_does_not_give_is_refused(
    harness: ReleaseHarness, scenario: Scenario, break_it: object, said: str
) -> None:
    place = harness.root / "releases/v1"
    assert callable(break_it)
    break_it(place)
    if not place.exists() and place.with_name("unknown").exists():
        for name in ("web", "worker", "admin"):
            harness._lead(name, "unknown")
    with pytest.raises(UnsupportedError, match=said):
        scenario.snapshot()


def test_a_directory_instead_of_a_link_is_refused(harness: ReleaseHarness, scenario: Scenario) -> None:
    (harness.root / "web").unlink()
    (harness.root / "web").mkdir()
    with pytest.raises(UnsupportedError, match="no symbolic link"):
        scenario.snapshot()


def test_a_reload_that_failed_is_run_again(harness: ReleaseHarness, scenario: Scenario) -> None:
    gate = harness.root / "gate"
    _options(harness, reload=["mkdir", str(gate / "reloaded")])
    snapshot = scenario.snapshot()
    harness.migrate()
    plan = scenario.generate(snapshot)
    assert f"mkdir {gate}/reloaded" in plan.steps[0].script
    with pytest.raises(StepFailedError, match="mkdir"):
        scenario.execute(plan)
    assert (harness.root / "web/version").read_text() == "1"
    gate.mkdir()
    scenario.execute(plan)
    assert (gate / "reloaded").is_dir()


def test_a_first_release_is_taken_back_by_removing_its_link(harness: ReleaseHarness, scenario: Scenario) -> None:
    (harness.root / "web").unlink()
    snapshot = scenario.snapshot()
    harness._lead("web", "v2")
    plan = scenario.generate(snapshot)
    assert "the link is removed" in str(plan.components[0].notes)
    scenario.execute(plan)
    assert not (harness.root / "web").is_symlink()


@pytest.mark.parametrize(
    "options",
    [
        {"links": ["/srv/current"]},
        {"repository": "relative", "links": ["/srv/current"]},
        {"repository": "/srv/git", "links": []},
        {"repository": "/srv/git", "links": ["/srv/current"], "reload": "systemctl reload shop"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], harness: ReleaseHarness) -> None:
    spec = ComponentSpec(kind="release", name="shop", options=options)
    with pytest.raises(ConfigurationError, match="shop: Options of kind 'release' are wrong"):
        build(spec, harness.resolve)
