"""
A model of a disk: every state in which a power cut can leave the recorded changes.

It assumes only what POSIX guarantees: fsync of a file makes its content durable, and fsync of a
directory makes its names durable. Each other change is complete, partial or absent after a power cut,
independently of the others. Real file systems lose less (ext4 preserves the order of renames), so a
property that holds here holds there, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random

from tests.storage.trace import Effect


@dataclass(frozen=True)
class Link:
    """
    A symbolic link, which is durable as soon as its name is.
    """

    target: str


#: The content of a file, a link, or a directory as a set of (name, tree) pairs.
Tree = bytes | Link | frozenset[tuple[str, "Tree"]]


@dataclass(eq=False)
class File:
    """
    A file with its durable content and its content in memory.
    """

    lasting: bytes
    content: bytes

    def contents(self) -> list[bytes]:
        """
        Return the contents that the file can have after a power cut.
        """
        half = self.content[: (len(self.lasting) + len(self.content)) // 2]
        return list(dict.fromkeys((self.lasting, half, self.content)))


@dataclass(eq=False)
class Directory:
    """
    A directory: for each name, all nodes that it can refer to, the current one last.
    """

    names: dict[str, list[Node | None]] = field(default_factory=dict)

    def put(self, name: str, node: Node | None) -> None:
        """
        Make *name* refer to *node*, in memory.
        """
        self.names.setdefault(name, [None]).append(node)

    def sync(self) -> None:
        """
        Make the names durable.
        """
        self.names = {name: [nodes[-1]] for name, nodes in self.names.items() if nodes[-1] is not None}


Node = File | Directory | Link


class Disk:
    """
    The durable state of a disk, and the changes in memory since then.
    """

    def __init__(self, tree: Tree) -> None:
        root = _lasting(tree)
        assert isinstance(root, Directory)
        self.root = root

    def apply(self, effect: Effect) -> None:
        """
        Apply the change *effect*, in memory.
        """
        if effect.verb in ("mark", "chmod"):
            return
        if effect.verb == "fsync":
            node = self._node(effect.path)
            if isinstance(node, File):
                node.lasting = node.content
            elif isinstance(node, Directory):
                node.sync()
            return
        parent, name = self._parent(effect.path)
        if effect.verb == "write":
            node = self._node(effect.path)
            assert isinstance(node, File)
            assert isinstance(effect.detail, bytes)
            node.content += effect.detail
        elif effect.verb == "create":
            parent.put(name, File(b"", b""))
        elif effect.verb == "mkdir":
            parent.put(name, Directory())
        elif effect.verb == "symlink":
            parent.put(name, Link(str(effect.detail)))
        elif effect.verb == "rename":
            node = self._node(effect.path)
            additional_names, other = self._parent(str(effect.detail))
            parent.put(name, None)
            additional_names.put(other, node)
        else:
            parent.put(name, None)

    def present(self) -> Tree:
        """
        Return the disk as a program sees it while the power is on.
        """
        return _present(self.root)

    def states(self) -> Iterator[Tree]:
        """
        Yield every state that the disk can have after a power cut at this moment.
        """
        yield from _states(self.root)

    def draw(self, random: Random) -> Tree:
        """
        Return one of these states, chosen at random.
        """
        return _drawn(self.root, random)

    def lasting(self) -> Tree:
        """
        Return the state in which everything without fsync is lost.
        """
        return _drawn(self.root, None)

    def _node(self, path: str) -> Node:
        node: Node = self.root
        for part in Path(path).parts:
            assert isinstance(node, Directory), path
            found = node.names[part][-1]
            assert found is not None, path
            node = found
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        parent = self._node(str(Path(path).parent))
        assert isinstance(parent, Directory), path
        return parent, Path(path).name


def replayed(tree: Tree, effects: Iterable[Effect]) -> Tree:
    """
    Return *tree* after all of *effects*.
    """
    disk = Disk(tree)
    for effect in effects:
        disk.apply(effect)
    return disk.present()


def read_tree(path: Path) -> Tree:
    """
    Return the node at *path*.
    """
    if path.is_symlink():
        return Link(str(path.readlink()))
    if path.is_dir():
        return frozenset((child.name, read_tree(child)) for child in path.iterdir())
    return path.read_bytes()


def write_tree(path: Path, tree: Tree) -> None:
    """
    Write *tree* to *path*, which does not exist.
    """
    if isinstance(tree, bytes):
        path.write_bytes(tree)
    elif isinstance(tree, Link):
        path.symlink_to(tree.target)
    else:
        path.mkdir()
        for name, inner in tree:
            write_tree(path / name, inner)


def _lasting(tree: Tree) -> Node:
    if isinstance(tree, bytes):
        return File(tree, tree)
    if isinstance(tree, Link):
        return tree
    return Directory({name: [_lasting(inner)] for name, inner in tree})


def _present(node: Node) -> Tree:
    if isinstance(node, File):
        return node.content
    if isinstance(node, Link):
        return node
    return frozenset(
        (name, _present(nodes[-1])) for name, nodes in node.names.items() if nodes[-1] is not None
    )


def _states(node: Node) -> Iterator[Tree]:
    if isinstance(node, File):
        yield from node.contents()
    elif isinstance(node, Link):
        yield node
    else:
        choices = [
            [
                (name, tree)
                for possible in dict.fromkeys(nodes)
                for tree in (_states(possible) if possible is not None else (None,))
            ]
            for name, nodes in node.names.items()
        ]
        for chosen in product(*choices):
            yield frozenset((name, tree) for name, tree in chosen if tree is not None)


def _drawn(node: Node, random: Random | None) -> Tree:
    if isinstance(node, File):
        return random.choice(node.contents()) if random else node.lasting
    if isinstance(node, Link):
        return node
    chosen = ((name, random.choice(nodes) if random else nodes[0]) for name, nodes in node.names.items())
    return frozenset((name, _drawn(inner, random)) for name, inner in chosen if inner is not None)
