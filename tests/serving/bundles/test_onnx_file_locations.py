"""Wherever a graph may hold a tensor, the file of its values is found."""

import onnx
import pytest
from onnx import TensorProto, helper

from serving.bundles.onnx_file import read_outline
from serving.errors import BundleError

OUTPUT = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])


def tensor(*locations):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    for location in locations:
        entry = weights.external_data.add()
        entry.key, entry.value = "location", location
    return weights


def sparse():
    made = onnx.SparseTensorProto(dims=[4])
    made.values.CopyFrom(tensor("values.bin"))
    made.indices.CopyFrom(tensor("indices.bin"))
    return made


def model(*nodes):
    nodes = nodes or (helper.make_node("Identity", ["x"], ["y"]),)
    return helper.make_model(helper.make_graph(nodes, "g", [], [OUTPUT]))


def of_sparse_weights():
    made = model()
    made.graph.sparse_initializer.append(sparse())
    return made, ["indices.bin", "values.bin"]


def of_a_sparse_constant():
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(
        onnx.AttributeProto(name="sparse_value", type="SPARSE_TENSOR", sparse_tensor=sparse())
    )
    return model(node), ["indices.bin", "values.bin"]


def of_a_list_of_sparse_tensors():
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(onnx.AttributeProto(name="v", sparse_tensors=[sparse()]))
    return model(node), ["indices.bin", "values.bin"]


def of_a_list_of_tensors_in_a_list_of_graphs():
    inner = helper.make_node("Constant", [], ["y"])
    inner.attribute.append(onnx.AttributeProto(name="v", tensors=[tensor("list.bin")]))
    node = helper.make_node("Own", [], ["y"])
    branch = helper.make_graph([inner], "b", [], [OUTPUT])
    node.attribute.append(onnx.AttributeProto(name="g", graphs=[branch]))
    return model(node), ["list.bin"]


def of_a_functions_default():
    made = model()
    function = made.functions.add(name="f", domain="own")
    function.attribute_proto.append(onnx.AttributeProto(name="v", t=tensor("default.bin")))
    return made, ["default.bin"]


def of_training():
    made = model()
    made.training_info.add().algorithm.initializer.append(tensor("training.bin"))
    return made, ["training.bin"]


@pytest.mark.parametrize(
    "make",
    [
        of_sparse_weights, of_a_sparse_constant, of_a_list_of_sparse_tensors,
        of_a_list_of_tensors_in_a_list_of_graphs, of_a_functions_default, of_training,
    ],
)  # fmt: skip
def test_the_file_is_named(tmp_path, make):
    made, locations = make()
    (tmp_path / "g.onnx").write_bytes(made.SerializeToString())

    assert read_outline(tmp_path / "g.onnx").external_files == locations


def test_a_tensor_that_names_two_files_is_refused(tmp_path):
    made = model()
    made.graph.initializer.append(tensor("harmless.bin", "other.bin"))
    (tmp_path / "g.onnx").write_bytes(made.SerializeToString())

    with pytest.raises(BundleError, match="names two files"):
        read_outline(tmp_path / "g.onnx")


@pytest.mark.parametrize("tag", [b"\xaa\x80\x80\x80\x10", b"\x02"], ids=["beyond 32 bits", "zero"])
def test_a_field_whose_number_readers_take_for_another_is_refused(tmp_path, tag):
    graph = model().SerializeToString()
    (tmp_path / "g.onnx").write_bytes(graph + tag + b"\x00")

    with pytest.raises(BundleError, match="no field begins"):
        read_outline(tmp_path / "g.onnx")
