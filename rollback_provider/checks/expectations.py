"""Suites of Great Expectations, given in code or as a saved JSON file, run on the database through SQLAlchemy.

It keeps the context of the last suite in a variable of its own, so suites run one after the other.
Great Expectations takes seconds to import: it is imported when a suite is sealed, and when it is run.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from rollback_provider.core.base import Json
from rollback_provider.core.checks import Options, read_options, required_connection
from rollback_provider.core.component import Connection, ConnectionResolver
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.verification import Area, Check, CheckSpec, CheckStatus

SHOWN = 10
"""Unexpected values that a check shows."""


class Expectation(Options):
    """One expectation, as Great Expectations saves it; what else it saves beside these is of no use here."""

    model_config = Options.model_config | {"extra": "ignore"}

    type: str = Field(pattern=r"^expect_\w+$|^[A-Z]\w+$")
    kwargs: Json
    meta: Json | None = None
    severity: Literal["critical", "warning", "info"] = "critical"


class ExpectationsOptions(Options):
    """What a check of the kind ``expectations`` takes.

    :param suite: a saved suite (``{"expectations": […]}``), a list of expectations, or an ``ExpectationSuite``
    :param suite_file: a saved suite as a JSON file; read, and sealed with the snapshot
    :param table: what it is about: ``orders`` or ``schema.orders``
    :param query: or the rows of a query
    :param data_docs: directory in which Data Docs are built
    """

    suite: list[Expectation] = Field(default_factory=list)
    suite_file: str = ""
    table: str = ""
    query: str = ""
    data_docs: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "suite" in given:
            return {**given, "suite": plain_suite(given["suite"])}
        return given

    @model_validator(mode="after")
    def _one_of_each(self) -> ExpectationsOptions:
        if bool(self.suite) == bool(self.suite_file):
            raise ValueError("give a suite with at least one expectation, or a suite_file")
        if bool(self.table) == bool(self.query):
            raise ValueError("give a table or a query")
        return self


class ExpectationsCheck:
    """A suite of expectations about one table or query: one check for each of them."""

    kind: ClassVar[str] = "expectations"
    one_by_one: ClassVar[bool] = True

    def __init__(self, spec: CheckSpec) -> None:
        plain = {**spec.options}
        if "suite" in plain:
            plain["suite"] = plain_suite(plain["suite"])
        self.spec = spec.model_copy(update={"options": plain})
        self._options = read_options(ExpectationsOptions, self.spec)
        self._connection = required_connection(spec)

    @property
    def statement(self) -> str:
        """The query, or the table."""
        return self._options.query or self._options.table

    def sealed(self) -> CheckSpec:
        """The declaration with its suite in it. Raises ConfigurationError, naming the expectation that Great Expectations does not know."""
        options = {key: value for key, value in self.spec.options.items() if key != "suite_file"}
        if self._options.suite_file:
            options["suite"] = self._from_file(Path(self._options.suite_file))
        sealed = ExpectationsCheck(self.spec.model_copy(update={"options": options}))
        sealed.expectations()
        return sealed.spec

    def expectations(self) -> list[Any]:
        """The suite as Great Expectations has it. Raises ConfigurationError, naming the expectation that is wrong."""
        _imported()
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        made = []
        for each in self._options.suite:
            saved: dict[str, Any] = each.model_dump()
            try:
                made.append(ExpectationConfiguration(**saved).to_domain_obj())
            except Exception as error:
                raise ConfigurationError(
                    f"Check {self.spec.name!r}: {each.type} is malformed: {' '.join(str(error).split())[:300]}",
                    next_step="Correct the suite",
                ) from error
        return made

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """A check for each expectation. One that looked at no row, or could not be evaluated, is unknown."""
        gx = _imported()
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        url = _url(connections(self._connection), self.spec.timeout)
        source = context.data_sources.add_sql(name=self._connection, connection_string=url)
        try:
            return [self._check(*each) for each in self._results(gx, context, source)]
        finally:
            source.get_execution_engine().close()
            source.get_engine().dispose()

    def _results(self, gx: Any, context: Any, source: Any) -> Iterator[tuple[Json, str]]:
        """The result of each expectation, and where Data Docs show it."""
        if self._options.table:
            schema, _, table = self._options.table.rpartition(".")
            asset = source.add_table_asset(self._options.table, table_name=table, schema_name=schema or None)
        else:
            asset = source.add_query_asset("query", query=self._options.query)
        batch = asset.add_batch_definition_whole_table("all")
        suite = context.suites.add(gx.ExpectationSuite(name=self.spec.name, expectations=self.expectations()))
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=self.spec.name, data=batch, suite=suite)
        )
        link, actions = self._docs(gx, context) if self._options.data_docs else ("", [])
        checkpoint = gx.Checkpoint(
            name=self.spec.name,
            validation_definitions=[definition],
            actions=actions,
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": SHOWN},
        )
        (result,) = context.checkpoints.add(checkpoint).run().run_results.values()
        yield from ((each.to_json_dict(), link) for each in result.results)

    def _docs(self, gx: Any, context: Any) -> tuple[str, list[Any]]:
        """Where Data Docs will be, and what has them built."""
        folder = Path(self._options.data_docs).expanduser().absolute() / re.sub(r"[^\w.-]+", "-", self.spec.name)
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
        context.add_data_docs_site(
            "report",
            {
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": backend,
                "show_how_to_buttons": False,
            },
        )
        action = gx.checkpoint.UpdateDataDocsAction(name="data docs", site_names=["report"])
        return (folder / "index.html").as_uri(), [action]

    def _check(self, result: Json, link: str) -> Check:
        config, found = result["expectation_config"], result["result"]
        kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
        error = next(_errors(result["exception_info"]), "")
        detail, status = error, CheckStatus.PASSED if result["success"] else CheckStatus.FAILED
        if error:
            status = CheckStatus.UNKNOWN
        elif found.get("element_count") == 0:
            status, detail = CheckStatus.UNKNOWN, "There are no rows to look at"
        elif status is CheckStatus.FAILED and config.get("severity") in {"warning", "info"}:
            status = CheckStatus.WARNING
        count, total = found.get("unexpected_count"), found.get("element_count")
        if count is not None and total is not None:
            actual = f"{count:,} of {total:,} unexpected"
        else:
            actual = "" if (observed := found.get("observed_value")) is None else str(observed)
        return Check(
            component=self._connection,
            name=self.spec.name,
            scope=f"{config['type']}({kwargs['column']})" if "column" in kwargs else config["type"],
            status=status,
            expected=", ".join(f"{key} {value}" for key, value in kwargs.items() if key != "column"),
            actual=actual[:200],
            detail=detail,
            differences=tuple(f"{value} is unexpected" for value in found.get("partial_unexpected_list", ())[:SHOWN]),
            area=Area.BUSINESS_RULES,
            link=link,
        )

    def _from_file(self, path: Path) -> list[Json]:
        try:
            found = plain_suite(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise ConfigurationError(
                f"Check {self.spec.name!r}: the suite {path} cannot be read: {error.strerror}"
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"Check {self.spec.name!r}: the suite {path} is no JSON: {error}") from error
        try:
            suite = [Expectation.model_validate(each).model_dump(mode="json") for each in found]
        except (ValidationError, TypeError) as error:
            raise ConfigurationError(
                f"Check {self.spec.name!r}: {path} is no suite of Great Expectations: {' '.join(str(error).split())[:300]}"
            ) from error
        if not suite:
            raise ConfigurationError(f"Check {self.spec.name!r}: the suite {path} has no expectation")
        return suite


def plain_suite(given: Any) -> Any:
    """The expectations of a suite, whether it is saved, a list already, or one of Great Expectations' own objects."""
    if hasattr(given, "to_json_dict"):
        given = given.to_json_dict()
    return given.get("expectations", given) if isinstance(given, Mapping) else given


def _imported() -> Any:
    try:
        import great_expectations as gx
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Checks of the kind 'expectations' need the package {error.name!r}",
            next_step="pip install 'airflow-provider-rollback[expectations]'",
        ) from error
    # It tells each validation to the log, and each expectation that fails; they are in the record.
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return gx


def _url(connection: Connection, timeout: float) -> str:
    """The address for SQLAlchemy, of a session that can only read. Holds the password: never log it."""
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import URL

    from rollback_provider.clients.postgres import conninfo

    fields = {key: str(value) for key, value in conninfo_to_dict(conninfo(connection)).items()}
    reading = f"-c default_transaction_read_only=on -c statement_timeout={int(timeout * 1000)}"
    options = " ".join(filter(None, (fields.pop("options", ""), reading)))
    return URL.create(
        "postgresql+psycopg",
        username=fields.pop("user", None),
        password=fields.pop("password", None),
        database=fields.pop("dbname", None),
        query={**fields, "options": options},
    ).render_as_string(hide_password=False)


def _errors(info: Mapping[str, Any]) -> Iterator[str]:
    """What was raised while an expectation was evaluated: by itself, or by each of the metrics that it needs."""
    for each in (info, *(value for value in info.values() if isinstance(value, Mapping))):
        if each.get("raised_exception"):
            yield " ".join(str(each.get("exception_message")).split())[:300]
