"""Describes the HTTP side as OpenAPI 3.1, with the schema and the example of the model that is served."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from holdfast.models.data_types import AnyType, Array, ColumnType, DataType, Map, Object
from holdfast.models.params import ParamSchema
from holdfast.models.schema import ColSpec, Schema, TensorSpec
from holdfast.serving.decoding import FORMATS
from holdfast.serving.model import ServedModel

__all__ = ["describe"]

_SCALARS: dict[DataType, dict[str, Any]] = {
    DataType.boolean: {"type": "boolean"},
    DataType.integer: {"type": "integer", "format": "int32"},
    DataType.long: {"type": "integer", "format": "int64"},
    DataType.float: {"type": "number", "format": "float"},
    DataType.double: {"type": "number", "format": "double"},
    DataType.string: {"type": "string"},
    DataType.binary: {"type": "string", "contentEncoding": "base64"},
    DataType.datetime: {"type": "string", "format": "date-time"},
}


def describe(model: ServedModel, version: str) -> dict[str, Any]:
    """The document.

    Args:
        model: What is served now.
        version: Of Holdfast.
    """
    signature = model.signature
    inputs = signature.inputs if signature else None
    media: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Request"}}
    if model.example is not None:
        media["example"] = json.loads(model.example)
    title = f"{model.identity.name} version {model.identity.version}" if model.identity.name else "A model"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": model.identity.version or model.model_id or "1",
            "description": f"Served by Holdfast {version}, by MLflow's scoring protocol.",
        },
        "paths": {
            "/invocations": {
                "post": {
                    "operationId": "predict",
                    "summary": "Predict.",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": media, "text/csv": {"schema": {"type": "string"}}},
                    },
                    "responses": {
                        "200": _answer("The predictions.", "Predictions"),
                        "400": _answer("The input is not what the model takes.", "Error"),
                        "413": _answer("The request is too large.", "Error"),
                        "415": _answer("The content type is none that is read.", "Error"),
                        "503": _answer("Too many requests wait, or the server is stopping.", "Error"),
                        "504": _answer("The prediction took too long.", "Error"),
                    },
                }
            },
            "/ping": _get("ping", "Whether the process answers.", "text/plain"),
            "/health": _get("health", "The same as /ping.", "text/plain"),
            "/version": _get("version", "The MLflow version whose protocol is followed.", "text/plain"),
            "/ready": _get("ready", "Whether requests should be sent here; 503 when not.", "application/json"),
            "/metrics": _get("metrics", "Counts for Prometheus.", "text/plain"),
        },
        "components": {
            "schemas": {
                "Request": _request(inputs, signature.params if signature else None),
                "Predictions": {
                    "type": "object",
                    "properties": {"predictions": _output(signature.outputs if signature else None)},
                    "required": ["predictions"],
                },
                "Error": {
                    "type": "object",
                    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
                    "required": ["error_code", "message"],
                },
            }
        },
    }


def _answer(description: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _get(name: str, summary: str, media: str) -> dict[str, Any]:
    responses = {"200": {"description": "Yes.", "content": {media: {"schema": {}}}}}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


def _request(schema: Schema | None, params: ParamSchema | None) -> dict[str, Any]:
    forms = _tensor_forms(schema) if schema and schema.is_tensor_spec() else _column_forms(schema)
    extra = {"params": _params(params)} if params else {}
    choices = [
        {"type": "object", "properties": {name: forms[name], **extra}, "required": [name], "title": name}
        for name in FORMATS
    ]
    return {"oneOf": choices}


def _column_forms(schema: Schema | None) -> dict[str, Any]:
    columns = [item for item in schema or () if isinstance(item, ColSpec)]
    if not columns:
        anything: dict[str, Any] = {}
        rows: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
        split = _split(None, {"type": "array"})
        return {"dataframe_split": split, "dataframe_records": rows, "instances": anything, "inputs": anything}
    types = [_nullable(_column(item.type), required=item.required) for item in columns]
    row: dict[str, Any] = {"type": "array", "prefixItems": types, "minItems": len(types)}
    names = [item.name for item in columns]
    if names[0] is None:
        values = {"type": "array", "items": types[0] if len(types) == 1 else row}
        split = _split(None, row)
        return {"dataframe_split": split, "dataframe_records": values, "instances": values, "inputs": values}
    record = {
        "type": "object",
        "properties": dict(zip(names, types, strict=True)),
        "required": [item.name for item in columns if item.required],
    }
    by_column = {
        "type": "object",
        "properties": {name: {"type": "array", "items": kind} for name, kind in zip(names, types, strict=True)},
        "required": record["required"],
    }
    records = {"type": "array", "items": record}
    return {
        "dataframe_split": _split([str(name) for name in names], row),
        "dataframe_records": records,
        "instances": records,
        "inputs": {"oneOf": [records, by_column]},
    }


def _split(names: Sequence[str] | None, row: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {"type": "array"}
    if names is not None:
        columns |= {"items": {"enum": list(names)}, "default": list(names)}
    properties = {"columns": columns, "data": {"type": "array", "items": row}, "index": {"type": "array"}}
    return {"type": "object", "properties": properties, "required": ["data"] if names is None else ["columns", "data"]}


def _tensor_forms(schema: Schema) -> dict[str, Any]:
    tensors = [item for item in schema if isinstance(item, TensorSpec)]
    frames: dict[str, Any] = {
        "dataframe_split": _split(None, {"type": "array"}),
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
    }
    if not schema.has_input_names():
        value = _tensor(tensors[0].dtype, tensors[0].shape)
        return {**frames, "instances": value, "inputs": value}
    by_name = {
        "type": "object",
        "properties": {item.name: _tensor(item.dtype, item.shape) for item in tensors},
        "required": [item.name for item in tensors],
    }
    rows = {
        "type": "object",
        "properties": {item.name: _tensor(item.dtype, item.shape[1:]) for item in tensors},
        "required": [item.name for item in tensors],
    }
    return {**frames, "instances": {"type": "array", "items": rows}, "inputs": by_name}


def _tensor(dtype: str, shape: Sequence[int]) -> dict[str, Any]:
    kind = "number"
    if dtype.startswith(("int", "uint")):
        kind = "integer"
    elif dtype.startswith("bool"):
        kind = "boolean"
    elif dtype in ("str", "bytes"):
        kind = "string"
    result: dict[str, Any] = {} if dtype == "object" else {"type": kind}
    for size in reversed(shape):
        result = {"type": "array", "items": result}
        if size >= 0:
            result |= {"minItems": size, "maxItems": size}
    return result


def _column(kind: ColumnType) -> dict[str, Any]:
    if isinstance(kind, DataType):
        return dict(_SCALARS[kind])
    if isinstance(kind, Array):
        return {"type": "array", "items": _column(kind.dtype)}
    if isinstance(kind, Map):
        return {"type": "object", "additionalProperties": _column(kind.value_type)}
    if isinstance(kind, Object):
        return {
            "type": "object",
            "properties": {
                item.name: _nullable(_column(item.dtype), required=item.required) for item in kind.properties
            },
            "required": [item.name for item in kind.properties if item.required],
            "additionalProperties": False,
        }
    assert isinstance(kind, AnyType)
    return {}


def _nullable(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    kind = schema.get("type")
    # A missing number may be null even where the column is required: NaN has no other form in JSON.
    if kind is None or (required and schema.get("format") not in ("double", "float")):
        return schema
    return {**schema, "type": [kind, "null"]}


def _params(params: ParamSchema) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for item in params:
        kind = _column(item.dtype)
        if item.shape is not None:
            kind = {"type": "array", "items": kind}
        properties[item.name] = {**kind, "default": item.to_dict()["default"]}
    return {"type": "object", "properties": properties}


def _output(schema: Schema | None) -> dict[str, Any]:
    if schema is None:
        return {}
    first = next(iter(schema))
    if isinstance(first, TensorSpec):
        if not schema.has_input_names():
            return _tensor(first.dtype, first.shape)
        tensors = [item for item in schema if isinstance(item, TensorSpec)]
        return {"type": "object", "properties": {item.name: _tensor(item.dtype, item.shape) for item in tensors}}
    columns = [item for item in schema if isinstance(item, ColSpec)]
    types = [_nullable(_column(item.type), required=item.required) for item in columns]
    if columns[0].name is None:
        return {"type": "array", "items": types[0]}
    properties = dict(zip([item.name for item in columns], types, strict=True))
    return {"type": "array", "items": {"type": "object", "properties": properties}}
