"""Changes to a parsed module, gathered first and made in one go, so that whatever is not named stays as it was written."""

from __future__ import annotations

from collections.abc import Callable

import libcst as cst

Replacement = Callable[[cst.CSTNode], cst.CSTNode]


class Edits:
    """Nodes to replace, statements to remove, to follow or to mark with a comment. Nodes are told apart by identity."""

    def __init__(self) -> None:
        self.changes = 0
        self.todos = 0
        self.unsure: set[cst.CSTNode] = set()
        """Tokens of sites that would be rewritten, were the meaning sure."""
        self._replaced: dict[cst.CSTNode, Replacement] = {}
        self._removed: set[cst.CSTNode] = set()
        self._following: dict[cst.CSTNode, list[str]] = {}
        self._marks: dict[cst.CSTNode, list[str]] = {}

    def replace(self, node: cst.CSTNode, by: Replacement) -> None:
        """Put what `by` makes of a node (with the changes inside it already made) in its place."""
        self._replaced[node] = by
        self.changes += 1

    def remove(self, statement: cst.CSTNode) -> None:
        """Take a statement out; an emptied block gets a `pass`."""
        self._removed.add(statement)
        self.changes += 1

    def follow(self, statement: cst.CSTNode, line: str) -> None:
        """Put a line after a statement, once."""
        lines = self._following.setdefault(statement, [])
        if line not in lines:
            lines.append(line)

    def mark(self, statement: cst.CSTNode, comment: str) -> None:
        """Put a comment above a statement, once."""
        comments = self._marks.setdefault(statement, [])
        if comment not in comments:
            comments.append(comment)
            self.todos += 1

    def apply(self, module: cst.Module) -> cst.Module:
        """The changed module."""
        changed = module.visit(_Maker(self))
        assert isinstance(changed, cst.Module)
        return changed


class _Maker(cst.CSTTransformer):
    def __init__(self, edits: Edits) -> None:
        super().__init__()
        self._edits = edits

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNodeT]:
        edits = self._edits
        made: cst.CSTNode = updated_node
        if original_node in edits._replaced:
            made = edits._replaced[original_node](made)
        if original_node in edits._marks:
            lines = [cst.EmptyLine(comment=cst.Comment(text)) for text in edits._marks[original_node]]
            made = made.with_changes(leading_lines=[*made.leading_lines, *lines])  # type: ignore[attr-defined]
        if original_node in edits._removed:
            return cst.RemoveFromParent()
        if original_node in edits._following:
            after = [cst.parse_statement(line) for line in edits._following[original_node]]
            return cst.FlattenSentinel([made, *after])  # type: ignore[list-item]
        return made  # type: ignore[return-value]


def comment_of(line: cst.EmptyLine) -> str | None:
    """The comment on a line without code."""
    return line.comment.value if line.comment else None


def is_bare(statement: cst.CSTNode | None, expression: cst.CSTNode) -> bool:
    """The statement is nothing but that expression, and no comment hangs on it."""
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and len(statement.body) == 1
        and isinstance(statement.body[0], cst.Expr)
        and statement.body[0].value is expression
        and statement.trailing_whitespace.comment is None
        and all(line.comment is None for line in statement.leading_lines)
    )
