"""What MLflow makes of the cases; run by a Python that has MLflow, in a process of its own.

python mlflow_side.py signatures <cases.py>          print {case: signature or null}
python mlflow_side.py infer -                        answer pickled inputs with their signatures
python mlflow_side.py examples <cases.py>            print {case: [info, json, serving json] or null}
python mlflow_side.py save <directory>               save packages there
python mlflow_side.py predict <directory>            load and serve the packages there, print {name: predictions},
                                                     and what get_model_info says of each
python mlflow_side.py save_python <directory>        save Python models there
python mlflow_side.py predict_python <directory>     load Python models, as if Holdfast were not installed
python mlflow_side.py autolog <cases.py>             print {"versions": …, "cases": {case: runs that it left}}
python mlflow_side.py ask <port>                     ask a model server by MLflow's client, print its predictions
python mlflow_side.py score <directory>              serve the packages there, print {request: [status, answer]}
"""

import json
import logging
import os
import runpy
import sys
import warnings
from pathlib import Path

os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "true"
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


def or_null(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except Exception:
        return None


def signatures(cases):
    from mlflow.models import infer_signature

    loaded = runpy.run_path(cases)
    result = {name: or_null(lambda v=v: infer_signature(v).to_dict()) for name, v in loaded["CASES"].items()}
    params = {
        f"params: {n}": or_null(lambda v=v: infer_signature(params=v).to_dict()) for n, v in loaded["PARAMS"].items()
    }
    return result | params


def infer(_):
    import pickle
    import struct

    from mlflow.models import infer_signature

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print
    while size := sys.stdin.buffer.read(4):
        value = pickle.loads(sys.stdin.buffer.read(*struct.unpack("<I", size)))
        print(json.dumps(or_null(lambda value=value: infer_signature(value).to_dict())), file=answers, flush=True)
    return {}


def examples(cases):
    from mlflow.models.utils import _Example

    def parts(value):
        example = _Example(value)
        return [example.info, example.json_input_example, example.json_serving_input]

    return {name: or_null(parts, value) for name, value in runpy.run_path(cases)["CASES"].items()}


def cases_of(name):
    return runpy.run_path(str(Path(__file__).with_name(name)))


def save(directory):
    import mlflow.lightgbm
    import mlflow.sklearn

    modules = {"sklearn": mlflow.sklearn, "lightgbm": mlflow.lightgbm}
    for name, (flavor, model, options, _, _) in cases_of("model_cases.py")["MODELS"].items():
        modules[flavor].save_model(model, f"{directory}/{name}", **options)
    return {}


def predict(directory):
    import mlflow.lightgbm
    import mlflow.pyfunc
    import mlflow.sklearn

    modules = {"sklearn": mlflow.sklearn, "lightgbm": mlflow.lightgbm}
    cases = cases_of("model_cases.py")["MODELS"]
    forget_carried()
    result = {}
    for name, (flavor, _, _, data, method) in cases.items():
        path = f"{directory}/{name}"
        native = getattr(modules[flavor].load_model(path), method)(data)
        # MLflow's pyfunc has no transform, whoever saved the model.
        model = None if method == "transform" else mlflow.pyfunc.load_model(path, suppress_warnings=True)
        example = Path(path, "serving_input_example.json")
        result[name] = {
            "native": plain(native),
            "pyfunc": plain(model and model.predict(data)),
            "served": answered(model, example.read_bytes()) if model and example.exists() else None,
        }
    return {"predictions": result, "info": info(directory)}


def answered(model, request):
    """What the application behind `mlflow models serve` answers to a request: status and predictions."""
    import asyncio

    from mlflow.pyfunc import scoring_server

    call = runpy.run_path(str(Path(__file__).parents[1] / "client" / "serving" / "asgi.py"))["call"]
    return asyncio.run(call(scoring_server.init(model), request, "application/json"))


def forget_carried():
    """What loads has these modules from the package, or not at all."""
    for name in ("carried_estimator", "carried_loader"):
        sys.modules.pop(name, None)


def plain(value):
    import numpy as np

    return np.asarray(value).tolist()


def info(directory):
    from mlflow.models import Model, get_model_info

    result = {}
    for path in sorted(Path(directory).iterdir()):
        model = Model.load(str(path))
        # For a logged model it asks its own server, which has none of Holdfast's.
        found = model.get_model_info(logged_model=model) if model.model_id else get_model_info(str(path))
        result[path.name] = {
            "flavors": found.flavors,
            "metadata": found.metadata,
            "mlflow_version": found.mlflow_version,
            "model_id": found.model_id,
            "model_uuid": found.model_uuid,
            "run_id": found.run_id,
            "saved_input_example_info": found.saved_input_example_info,
            "signature": found.signature and found.signature.to_dict(),
            "utc_time_created": found.utc_time_created,
        }
    return result


def save_python(directory):
    import mlflow.pyfunc

    cases = cases_of("python_cases.py")["build"](mlflow.pyfunc, f"{directory}/sources")
    for name, (options, _, _) in cases.items():
        mlflow.pyfunc.save_model(f"{directory}/{name}", **options)
    return {}


def predict_python(directory):
    sys.modules["holdfast"] = None
    import mlflow.pyfunc

    cases = cases_of("python_cases.py")["build"](mlflow.pyfunc, f"{directory}/sources")
    return {
        name: plain(mlflow.pyfunc.load_model(f"{directory}/{name}", suppress_warnings=True).predict(data))
        for name, (_, data, _) in cases.items()
    }


def autolog(cases):
    import tempfile

    import mlflow
    import pandas as pd
    import sklearn

    # It loads each model in a process of its own to find out what it imports, which is not asked here.
    mlflow.models.infer_pip_requirements = lambda *_, fallback=None, **__: fallback or []
    observe = runpy.run_path(str(Path(__file__).with_name("autolog_observed.py")))["observe"]
    result = {}
    with tempfile.TemporaryDirectory() as directory:
        mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
        client = mlflow.MlflowClient()
        for name, (settings, train) in runpy.run_path(cases)["CASES"].items():
            experiment = mlflow.create_experiment(name, artifact_location=f"{directory}/{len(result)}")
            mlflow.set_experiment(name)
            mlflow.sklearn.autolog(disable=True)
            mlflow.sklearn.autolog(**settings)
            train()
            mlflow.sklearn.autolog(disable=True)
            result[name] = observe(client, experiment)
            print(name, file=sys.stderr, flush=True)
    return {"versions": {"sklearn": sklearn.__version__, "pandas": pd.__version__}, "cases": result}


def ask(port):
    import numpy as np
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", int(port))
    client.wait_server_ready(timeout=30)
    rows = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
    frame = pd.DataFrame(rows, columns=list("abcd"))
    return {
        "version": client.get_version(),
        "frame": client.invoke(frame).get_predictions().values.ravel().tolist(),
        "records": client.invoke(frame.to_dict(orient="records")).get_predictions().values.ravel().tolist(),
        "array refused": or_null(client.invoke, np.array(rows)) is None,
    }


def score(directory):
    import asyncio

    from mlflow import pyfunc
    from mlflow.pyfunc import scoring_server

    cases = runpy.run_path(str(Path(__file__).parents[1] / "client" / "serving" / "scoring_cases.py"))
    apps = {
        name: scoring_server.init(pyfunc.load_model(f"{directory}/{name}", suppress_warnings=True))
        for name in cases["MODELS"]
    }
    call = runpy.run_path(str(Path(__file__).parents[1] / "client" / "serving" / "asgi.py"))["call"]
    return {
        request: asyncio.run(call(apps[model], cases["body_bytes"](body), kind))
        for request, (model, kind, body) in cases["REQUESTS"].items()
    }


if __name__ == "__main__":
    commands = {
        "signatures": signatures,
        "infer": infer,
        "examples": examples,
        "save": save,
        "predict": predict,
        "save_python": save_python,
        "predict_python": predict_python,
        "autolog": autolog,
        "score": score,
        "ask": ask,
    }
    answer = commands[sys.argv[1]](sys.argv[2])
    # Imports may print; the answer is the last line.
    print("\n" + json.dumps(answer, default=str))
