from contextlib import suppress
from types import SimpleNamespace

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from serving.bundles import onnx_file
from serving.bundles.onnx_file import read_outline
from serving.errors import BundleError
from serving.settings import SHIPPED_REGISTRY
from tests.support.bundles import write_bundle

SHIPPED = sorted(SHIPPED_REGISTRY.rglob("*.onnx"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_outline_is_what_the_library_reads(path):
    outline = read_outline(path)

    graph = onnx.load(path).graph
    assert [(n.operator, list(n.inputs), list(n.outputs)) for n in outline.nodes] == [
        (n.op_type, list(n.input), list(n.output)) for n in graph.node
    ]
    assert [(w.name, w.datatype, list(w.shape)) for w in outline.weights] == [
        (w.name, w.data_type, list(w.dims)) for w in graph.initializer
    ]
    for values, theirs in ((outline.inputs, graph.input), (outline.outputs, graph.output)):
        assert [(v.name, v.datatype, list(v.shape)) for v in values] == [
            (v.name, v.type.tensor_type.elem_type,
             [d.dim_value for d in v.type.tensor_type.shape.dim])
            for v in theirs
        ]  # fmt: skip


def test_weights_that_an_old_file_lists_as_inputs_are_no_inputs(tmp_path):
    weights = numpy_helper.from_array(numpy_helper.to_array(helper.make_tensor(
        "w", TensorProto.FLOAT, [2], [1.0, 2.0])), "w")  # fmt: skip
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xwy"]
    add = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([add], "g", values[:2], values[2:], [weights])
    onnx.save(helper.make_model(graph), tmp_path / "old.onnx")

    assert [each.name for each in read_outline(tmp_path / "old.onnx").inputs] == ["x"]


def test_files_that_hold_weights_are_named(tmp_path):
    write_bundle(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="w.bin",
              size_threshold=0)  # fmt: skip

    assert read_outline(tmp_path / "split.onnx").external_files == ["w.bin"]
    assert read_outline(tmp_path / "model.onnx").external_files == []


@pytest.mark.parametrize("in_a", ["subgraph", "function"])
def test_files_that_hold_weights_of_inner_graphs_are_named(tmp_path, in_a):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "inner.bin"
    constant = helper.make_node("Constant", [], ["inner"], value=weights)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    branch = helper.make_graph([constant], "branch", [], [output])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    model = helper.make_model(helper.make_graph([node], "g", [], [output]))
    if in_a == "function":
        model.graph.node[0].ClearField("attribute")
        model.functions.append(
            helper.make_function("own", "f", [], ["inner"], [constant], model.opset_import)
        )
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())

    assert read_outline(tmp_path / "g.onnx").external_files == ["inner.bin"]


def test_a_large_file_is_not_read_whole(tmp_path, monkeypatch):
    write_bundle(tmp_path, ballast_bytes=5_000_000)
    asked = []

    class Counted(onnx_file._Span):
        def part(self, place, length):
            found = super().part(place, length)
            asked.append(len(found) if isinstance(found, memoryview) else 0)
            return found

    monkeypatch.setattr(onnx_file, "_Span", Counted)

    assert len(read_outline(tmp_path / "model.onnx").nodes) == 5
    assert 0 < sum(asked) < 10_000


def test_a_file_that_is_cut_off_while_it_is_read_is_refused(tmp_path, monkeypatch):
    write_bundle(tmp_path)
    path = tmp_path / "model.onnx"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    told = SimpleNamespace(st_size=size, st_mode=path.stat().st_mode)
    monkeypatch.setattr(onnx_file.os, "fstat", lambda _file: told)

    with pytest.raises(BundleError, match="is not an ONNX file"):
        read_outline(path)


@given(st.data())
def test_a_mutilated_file_is_refused_or_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("mutilated")
    write_bundle(folder)
    content = bytearray((folder / "model.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "model.onnx").write_bytes(content[: data.draw(st.integers(0, len(content)))])

    with suppress(BundleError):  # any other error fails the test
        assert read_outline(folder / "model.onnx").outputs


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x09", b"\x80" * 20])
def test_a_file_without_a_graph_is_refused(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)

    with pytest.raises(BundleError, match=r"x.onnx is not an ONNX file"):
        read_outline(tmp_path / "x.onnx")
