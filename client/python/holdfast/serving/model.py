"""A loaded model with all that answering for it needs, and how one is loaded and tried."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast import pyfunc
from holdfast.errors import HoldfastError, InvalidArgumentError, NotFoundError, UnavailableError
from holdfast.models._files import is_remote
from holdfast.models._reader import Package, open_package
from holdfast.models.signature import ModelSignature
from holdfast.pyfunc._opening import load_package
from holdfast.serving.decoding import Decoded, Decoder
from holdfast.serving.encoding import encode
from holdfast.serving.errors import ServingError, bad_input
from holdfast.serving.frames import NumberRows
from holdfast.serving.plain_estimators import takes_arrays

__all__ = ["Identity", "ModelError", "ServedModel", "load_served"]

logger = logging.getLogger("holdfast.serving")

# A file that describes a request, not data to be kept in memory.
_MAX_EXAMPLE = 1 << 20


class ModelError(Exception):
    """A model that cannot be served: it does not load, or does not answer its own example."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model it is.

    Attributes:
        uri: Where it was loaded from.
        name: The registered model; empty when it is not served by name.
        version: Its version; empty when it is not served by name.
    """

    uri: str
    name: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"version {self.version} of {self.name}" if self.name else self.uri


class ServedModel:
    """One model in memory. It counts the predictions in progress, so that it is known when nobody needs it any more.

    Attributes:
        identity: Which one it is.
        model_id: The logged model, or None.
        run_id: The run that logged it, or None.
        signature: What it takes and gives, or None.
        example: A request in JSON for it, or None.
        decoder: Reads requests for it.
        served_since: Seconds since 1970.
    """

    def __init__(self, model: pyfunc.PyFuncModel, identity: Identity, example: str | None) -> None:
        self._model = model
        self.identity = identity
        self.model_id = model.model_id
        self.run_id = model.metadata.run_id
        self.signature: ModelSignature | None = model.signature
        self.example = example
        schema = self.signature.inputs if self.signature else None
        params = self.signature.params if self.signature else None
        self.decoder = Decoder(
            schema,
            param_names=frozenset(item.name for item in params or ()),
            takes_raw_inputs=bool(model.metadata.unknown.get("is_signature_from_type_hint")),
        )
        self._takes_arrays = False
        if (rows := self.decoder.number_rows) is not None:
            method = str(model.metadata.flavors["python_function"].get("predict_fn") or "predict")
            self._takes_arrays = takes_arrays(model.get_raw_model(), method, list(rows.columns), rows.values.dtype)
        self.served_since = time.time()
        self._lock = threading.Lock()
        self._in_use = 0
        self._retired = False

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Count what goes on in the block as a prediction in progress."""
        with self._lock:
            self._in_use += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use -= 1
                self._tell_if_unused()

    def retire(self) -> None:
        """Another model answers from now on."""
        with self._lock:
            self._retired = True
            self._tell_if_unused()

    def _tell_if_unused(self) -> None:
        if self._retired and not self._in_use:
            self._retired = False
            logger.info("%s answered its last request", self.identity)

    def check(self, decoded: Decoded) -> Decoded:
        """The request with data and parameters as the signature describes them.

        Raises:
            ServingError: They are not.
        """
        try:
            data = decoded.data if decoded.exact else self._model.check_input(decoded.data)
            params = self._model.check_params(decoded.params)
        except InvalidArgumentError as error:
            raise bad_input(f"The input does not fit the model's signature: {error}{self._expectation()}") from error
        except BaseException as error:
            # What nobody foresaw in somebody's data is still about the data.
            raise bad_input(
                f"The input does not fit the model's signature: {type(error).__name__}: {error}.{self._expectation()}"
            ) from error
        return Decoded(data, params, exact=decoded.exact, unwrapped=decoded.unwrapped)

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        """Predict from what `check` gave.

        Raises:
            ServingError: The model raised an error.
        """
        try:
            if isinstance(data, NumberRows):
                data = data.values if self._takes_arrays else data.frame()
            return self._model.predict_checked(data, params)
        except BaseException as error:  # also SystemExit: what a model raises must not end the thread that asked it
            logger.info("%s could not predict", self.identity, exc_info=True)
            raise ServingError(
                ServingError.PREDICTION_FAILED,
                f"The model raised an error for this input: {type(error).__name__}: {error}",
            ) from error

    def answer_example(self) -> None:
        """Answer the model's own example, if it has one.

        Raises:
            ModelError: It does not.
        """
        if self.example is None:
            return
        try:
            decoded = self.check(self.decoder.decode_json(self.example))
            encode(self.predict(decoded.data, decoded.params), unwrapped=decoded.unwrapped)
        except ServingError as error:
            raise ModelError(f"{self.identity} does not answer its own input example: {error.message}") from error

    def _expectation(self) -> str:
        return f" It expects {self.signature.inputs!r}." if self.signature and self.signature.inputs else ""


def load_served(identity: Identity) -> ServedModel:
    """Load a model, and let it answer its own input example.

    Raises:
        ModelError: It cannot be loaded, or does not answer.
        UnavailableError: The server that has it cannot be reached.
    """
    try:
        with open_package(identity.uri) as package:
            model = load_package(package)
            example = _example(package)
        served = ServedModel(model, identity, example)
    except UnavailableError:  # and no other ConnectionError, which is one of the model's own
        raise
    except HoldfastError as error:
        raise ModelError(f"{identity} cannot be loaded: {error.message}") from error
    except BaseException as error:
        # Loading runs what the package holds, which may raise anything, and sys.exit() is not to end this process.
        raise ModelError(f"{identity} cannot be loaded: {type(error).__name__}: {error}") from error
    served.answer_example()
    return served


def _example(package: Package) -> str | None:
    """The request that was saved with the model, as JSON; None when there is none that could be sent."""
    info = package.mlmodel.saved_input_example_info or {}
    path = info.get("serving_input_path")
    if not path:
        return None
    try:
        text = package.read(path).decode("utf-8")
    except NotFoundError:
        return None
    return text if len(text) <= _MAX_EXAMPLE and isinstance(_parsed(text), dict) else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def is_local(uri: str) -> bool:
    """Whether ``uri`` is a directory of this machine."""
    return not is_remote(uri) and Path(uri).exists()
