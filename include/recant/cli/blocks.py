"""`block add`, `block list`, `block lift`: what no ingest is to bring in, and letting it in again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.flags import JsonFlag, with_flag_groups
from recant.cli.output import Output, local_time
from recant.cli.services import settings
from recant.cli.undo import Undoing
from recant.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recant.blocks import Block
    from recant.knowledge_base import KnowledgeBase

app = typer.Typer(help="Content that no ingest is to bring in.")


@app.callback()
def _block() -> None:
    """Content that no ingest is to bring in."""


def add(
    undoing: Undoing,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="A document's source, as `recant search` shows it; a path.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What this file holds; of records, each of them.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--hash", metavar="HEX", help="Content by its sha256, as `sha256sum` prints it.")
    ] = None,
    collection: Annotated[str | None, typer.Option(metavar="NAME", help="There only. Default: everywhere.")] = None,
    json: JsonFlag = False,
) -> None:
    """Leave content out of every ingest from now on. What stands already stays: `recant rollback` takes that back."""
    import recant
    from recant.ingestion.contents import content_hashes
    from recant.ingestion.origin import named_source

    if file is not None and digest is not None:
        raise UsageError("Give either --file or --hash.")
    with recant.connect(settings=settings()) as kb:
        hashes: Sequence[bytes | str | None] = (
            [digest] if file is None else content_hashes(file, max_bytes=kb.settings.max_document_bytes)
        )
        named = None if source is None else named_source(source)
        given = {"source": named, "collection": collection, "reason": undoing.message, "agent": undoing.by}
        blocks = [kb.blocks.add(source_hash=found, **given) for found in hashes]  # type: ignore[arg-type]
    _tell(Output(json), blocks)


def list_blocks(
    all_: Annotated[bool, typer.Option("--all", help="Those too that are no longer in effect.")] = False,
    json: JsonFlag = False,
) -> None:
    """What is blocked, by whom and why."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        blocks = kb.blocks.list(include_lifted=all_)
    if blocks or json:
        _tell(output, blocks)
    else:
        output.print("Nothing is blocked.")


def lift(
    undoing: Undoing,
    blocks: Annotated[list[int] | None, typer.Argument(metavar="[ID]…", help="Blocks.", show_default=False)] = None,
    rollback: Annotated[int | None, typer.Option(metavar="OP", help="All that this rollback set.")] = None,
    json: JsonFlag = False,
) -> None:
    """Let in again what blocks kept out: the next ingest takes it as if it were new."""
    import recant

    if not blocks and rollback is None:
        raise UsageError("Say which: the ids of blocks, as `recant block list` shows them, or --rollback OP.")
    with recant.connect(settings=settings()) as kb:
        ids = [*(blocks or ()), *_of_rollback(kb, rollback)]
        lifted = kb.blocks.lift(*ids, reason=undoing.message, agent=undoing.by)
    _tell(Output(json), lifted)


def _of_rollback(kb: KnowledgeBase, rollback: int | None) -> list[int]:
    if rollback is None:
        return []
    found = [block.block_id for block in kb.blocks.list(rollback=rollback)]
    if not found:
        raise UsageError(f"No block in effect was set by operation {rollback}: `recant block list --all` lists them.")
    return found


def _tell(output: Output, blocks: Sequence[Block]) -> None:
    if output.as_json:
        output.document({"blocks": [block.to_dict() for block in blocks]})
        return
    columns = ["block#", "state", "source", "content", "collection", "by", "when", "rollback#", "why"]
    output.table(columns, [_row(block) for block in blocks])


def _row(block: Block) -> list[object]:
    """Content that a rollback blocked is shown by where it stood; a source that is blocked as a whole has none."""
    content = f"{block.source_hash[:12]}… {block.seen_as or ''}".strip() if block.source_hash else "any"
    why = f"{block.reason}; lifted by {block.lifted_by}: {block.lift_reason}" if block.lifted_at else block.reason
    where = [block.source or "any", content, block.collection or "all"]
    return [block.block_id, block.state, *where, block.agent, local_time(block.created_at), block.control_id, why]


COMMANDS: dict[str, Callable[..., None]] = {"add": add, "list": list_blocks, "lift": lift}
for name, command in COMMANDS.items():
    app.command(name)(with_flag_groups(command))
