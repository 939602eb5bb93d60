"""Serves one model: MLflow's scoring protocol over HTTP, and ``PredictionService`` over gRPC.

``holdfast models serve`` is the way in; docs/serving.md describes it. Needs the extra ``holdfast[serve]``. Importing
this package loads nothing of it.
"""
