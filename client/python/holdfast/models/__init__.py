"""Model packages: signatures, input examples, and what is known about a model.

Importing this takes neither numpy nor pandas; both are used when data of theirs comes in.
"""

from holdfast.models._code_files import ModelConfig, set_model
from holdfast.models._info import ModelInfo, get_model_info
from holdfast.models._inspection import InspectedFile, ModelInspection, SerializedObject, inspect_model
from holdfast.models._mlmodel import MLmodel
from holdfast.models.data_types import AnyType, Array, DataType, Map, Object, Property
from holdfast.models.params import ParamSchema, ParamSpec
from holdfast.models.schema import ColSpec, Schema, TensorSpec
from holdfast.models.signature import ModelSignature, infer_signature

__all__ = [
    "AnyType",
    "Array",
    "ColSpec",
    "DataType",
    "InspectedFile",
    "MLmodel",
    "Map",
    "ModelConfig",
    "ModelInfo",
    "ModelInspection",
    "ModelSignature",
    "Object",
    "ParamSchema",
    "ParamSpec",
    "Property",
    "Schema",
    "SerializedObject",
    "TensorSpec",
    "get_model_info",
    "infer_signature",
    "inspect_model",
    "set_model",
]
