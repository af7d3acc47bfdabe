"""`automtl config` and `automtl data config`: every setting with its type, default and meaning."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from automtl.cli._options import AsJson
from automtl.cli.console import listed, print_json, print_lines, say

if TYPE_CHECKING:
    from automtl.config_reference import Reference

# to list them here would read every model of a configuration for each --help
Section = Annotated[
    str | None,
    typer.Argument(
        metavar="[SECTION]",
        help="One section only. Their names are the last line of what all of them print.",
        show_default="all",
    ),
]
JsonSchema = Annotated[
    bool, typer.Option("--json-schema", help="Print a JSON schema of the file, for editors.")
]


def run(
    section: Section = None,
    json_schema: JsonSchema = False,
    as_json: AsJson = False,
) -> None:
    """Describe the settings of a run, as a --config file has them: name, default, type and meaning.

    Examples:
        automtl config search
        automtl config --json-schema
    """
    from automtl.config_reference import RUN

    show(RUN, section, json_schema, as_json)


def show(reference: "Reference", section: str | None, json_schema: bool, as_json: bool) -> None:
    """Print a reference: as a schema, as JSON, or as lines.

    Raises:
        ConfigError: there is no such section.
    """
    if json_schema:
        print_json(reference.json_schema())
        return
    described = reference.sections() if section is None else {section: reference.section(section)}
    if as_json:
        print_json({name: [asdict(one) for one in own] for name, own in described.items()})
        return
    for settings in described.values():
        for one in settings:
            print_lines(f"{one.path} = {one.default}  ({one.type})\n    {one.meaning}")
    if section is None:
        say(f"one section: {reference.command} NAME, of {listed(described, most=len(described))}")
