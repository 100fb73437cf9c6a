"""Ways to spoil what programs write: databases, weights, graphs. As in `mutators`, one thing is changed a call."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct

from mutators import Mutator, named, one_of, other_json, short
from sandbox import Case

ODD_CELLS = (
    *(None, 0, 1, -1, 2, 1.5, 2**31, 2**62, 2**63 - 1, -(2**63), 1e308, float("inf"), float("nan"), "", "x", "\0"),
    *("tictactoe", "a" * 300, "[red]x[/red]", "²", b"", b"\xff", b"\0" * 4, b"\xff" * 400, b"\xed\xa0\x80"),
    *(struct.pack("<f", float("nan")) * 29, struct.pack("<f", float("inf")) * 9, struct.pack("<I", 2**32 - 1)),
    struct.pack("<I", 9),
)


def cell_in(*patterns: str) -> Mutator:
    """A cell of another type or out of range, a row gone or doubled, a column or table dropped or renamed."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        connection = sqlite3.connect(path)
        connection.text_factory = bytes
        try:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
            table = draw.choice(tables)[0].decode()
            if not connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone():
                table = draw.choice(tables)[0].decode()  # an empty one says little
            columns = [row[1].decode() for row in connection.execute(f'PRAGMA table_info("{table}")')]
            column = draw.choice(columns)
            row_id = "rowid"
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("SELECT position FROM dataset_members")
                row_id = "position" if table == "dataset_members" else "rowid"
            rows = [row[0] for row in connection.execute(f'SELECT {row_id} FROM "{table}"')]
            texts = [row[0] for row in connection.execute(f'SELECT "{column}" FROM "{table}"')]
            rare = ("delete", "drop table", "drop column", "rename", "no index", "add", "view", "trigger")
            how = draw.choice(("cell",) * 8 + ("json",) * 4 + ("column",) * 2 + rare)
            value = draw.choice(ODD_CELLS)
            if how == "cell" and rows:
                said = f"{table}.{column} is {short(value)}"
                statement = f'UPDATE OR REPLACE "{table}" SET "{column}"=? WHERE {row_id}=?'
                connection.execute(statement, (value, draw.choice(rows)))
            elif how == "json" and texts and isinstance(texts[0], bytes) and texts[0][:1] in (b"{", b"["):
                text, did = other_json(texts[0].decode(), draw)
                said = f"{table}.{column}: {did}"
                connection.execute(f'UPDATE OR REPLACE "{table}" SET "{column}"=?', (text,))
            elif how in ("column", "json"):
                said = f"all of {table}.{column} is {short(value)}"
                connection.execute(f'UPDATE OR REPLACE "{table}" SET "{column}"=?', (value,))
            else:
                statement = {
                    "cell": f'DELETE FROM "{table}"',
                    "delete": f'DELETE FROM "{table}" WHERE {row_id} % {draw.choice((1, 2, 3))} = 0',
                    "drop table": f'DROP TABLE "{table}"',
                    "drop column": f'ALTER TABLE "{table}" DROP COLUMN "{column}"',
                    "rename": f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "other"',
                    "no index": "DROP INDEX idx_transitions_timestamp",
                    "add": f'ALTER TABLE "{table}" ADD COLUMN "extra" TEXT',
                    "view": f'CREATE VIEW "v" AS SELECT * FROM "{table}"',
                    "trigger": f"CREATE TRIGGER t BEFORE INSERT ON \"{table}\" BEGIN SELECT RAISE(ABORT, 'no'); END",
                }[how]
                said = statement
                connection.execute(statement)
            connection.commit()
        except sqlite3.Error as error:
            said = f"nothing ({error})"
        finally:
            connection.close()
        return f"{named(case, path)}: {said}"

    return mutate


def tensors_in(*patterns: str) -> Mutator:
    """The header of a safetensors file: its JSON, its length, or the numbers behind it."""

    def mutate(case: Case, draw: random.Random) -> str:
        path = one_of(case, draw, patterns)
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header, numbers = content[8 : 8 + length], bytearray(content[8 + length :])
        how = draw.choice(("header", "header", "header", "length", "nan", "inf", "noise"))
        did = how
        if how == "header":
            text, did = other_json(header.decode(), draw)
            header = text.encode("utf-8", "surrogatepass")
            length = len(header)
        elif how == "length":
            length = draw.choice((0, 1, length + 1, 2**31, 2**63, 2**64 - 1, 10**8))
        else:
            pattern = {"nan": struct.pack("<f", float("nan")), "inf": struct.pack("<f", float("inf"))}.get(how)
            for at in range(0, len(numbers) - 3, draw.choice((4, 40, 4000))):
                numbers[at : at + 4] = pattern or struct.pack("<f", draw.gauss(0, 1e20))
        path.write_bytes(struct.pack("<Q", length) + header + bytes(numbers))
        return f"{named(case, path)}: {did}"

    return mutate


_OF_A_GRAPH = (
    *("name", "dimension", "dimension", "type", "no output", "no input", "double", "rename all"),
    *("weights", "weights", "op", "attribute", "metadata", "opset"),
)


def graph_in(*patterns: str) -> Mutator:
    """A name, a dimension, a type, an output, a weight or the metadata of an ONNX graph."""

    def mutate(case: Case, draw: random.Random) -> str:
        import onnx
        from onnx import numpy_helper

        path = one_of(case, draw, patterns)
        model = onnx.load_from_string(path.read_bytes())
        graph = model.graph
        told = draw.choice([*graph.input, *graph.output])
        how = draw.choice(_OF_A_GRAPH)
        if how == "name":
            told.name = draw.choice(("", "x", "value", "logits", "\u202e", "a" * 300, "observation"))
        elif how == "rename all":
            old, new = told.name, draw.choice(("x", "[red]", "é", "present.99.key"))
            for node in graph.node:
                node.input[:] = [new if name == old else name for name in node.input]
                node.output[:] = [new if name == old else name for name in node.output]
            told.name = new
        elif how == "dimension":
            dims = told.type.tensor_type.shape.dim
            if dims:
                dim = draw.choice(list(dims))
                dim.ClearField("dim_param")
                dim.dim_value = draw.choice((0, 1, 2, 3, -1, 2**31, 2**62))
            if draw.random() < 0.3 and dims:
                del dims[-1]
        elif how == "type":
            told.type.tensor_type.elem_type = draw.choice((0, 1, 2, 6, 7, 8, 9, 10, 11, 16, 99))
        elif how == "no output":
            del graph.output[draw.randrange(len(graph.output))]
        elif how == "no input":
            del graph.input[draw.randrange(len(graph.input))]
        elif how == "double":
            graph.output.append(draw.choice(list(graph.output)))
        elif how == "weights" and graph.initializer:
            weight = draw.choice(list(graph.initializer))
            values = numpy_helper.to_array(weight).copy()
            if values.dtype.kind == "f" and values.size:
                values[...] = draw.choice((float("nan"), float("inf"), 1e38, 0.0))
            elif values.size:
                values[...] = draw.choice((0, -1, 99, 2**31 - 1))
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        elif how == "op":
            draw.choice(list(graph.node)).op_type = draw.choice(("Relu", "Nonsense", "Identity", "Exp", "Log", "Loop"))
        elif how == "attribute":
            del draw.choice(list(graph.node)).attribute[:]
        elif how == "metadata":
            del model.metadata_props[:]
            for key in ("iteration", "env_id", "step", "run_id"):
                odd = draw.choice(("²", "-1", "9" * 5000, "", "x", "[red]", str(2**64)))
                model.metadata_props.add(key=key, value=odd)
        elif how == "opset":
            model.opset_import[0].version = draw.choice((0, -1, 99, 2**40, 1))
        path.write_bytes(model.SerializeToString())
        return f"{named(case, path)}: {how} ({told.name[:20]!r})"

    return mutate
