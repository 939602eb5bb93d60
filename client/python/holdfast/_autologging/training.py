"""Logs one training: what it was given before it begins, and what came of it when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast._autologging import searches
from holdfast._autologging.arguments import TrainingData
from holdfast._autologging.datasets import describe, name_and_digest
from holdfast._autologging.measures import training_metrics
from holdfast._autologging.params import best_params_of, is_search, loggable, params_of, tags_of
from holdfast._autologging.pictures import pictures_of_training
from holdfast._autologging.settings import Settings
from holdfast._autologging.steps import Steps
from holdfast.entities import Dataset, DatasetInput, InputTag

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun

CONTEXT_TAG = "mlflow.data.context"
MODEL_NAME = "model"
BEST_MODEL_NAME = "best_estimator"
_PAGE = '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="UTF-8"/></head>\n<body>\n{}\n</body>\n</html>\n'


class Training:
    """A call of ``fit``, ``fit_transform`` or ``fit_predict`` and the run it is logged to."""

    def __init__(self, run: ActiveRun, estimator: Any, settings: Settings, steps: Steps) -> None:
        self._run, self._estimator, self._settings, self._steps = run, estimator, settings, steps
        self._data = TrainingData(None, None, None, None)
        self._dataset: Dataset | None = None
        self._params: dict[str, str] = {}
        self.model_id: str | None = None

    @property
    def run(self) -> ActiveRun:
        """Where it is logged to."""
        return self._run

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Log parameters and data, as they are before training."""
        client, run_id, step = self._run.client, self._run.info.run_id, self._steps.step
        with step("The data of a training"):
            self._data = TrainingData.of_call(self._estimator, args, kwargs)
        with step("Params"):
            self._params = loggable(params_of(self._estimator), self._steps)
            client.log_params(run_id, self._params)
        with step("Tags"):
            client.set_tags(run_id, tags_of(self._estimator))
        with step("The dataset"):
            self._dataset = describe(self._data.samples, self._data.targets)
            if self._inputs:
                client.log_inputs(run_id, self._inputs)

    def end(self) -> None:
        """Log the model, how well it does, and what a search found. One step that fails leaves the others be."""
        signature: Any = False
        # What follows asks the server at once; one that is away is not waited for with each.
        if self._settings.log_models and self._is_reached("The model"):
            if self._settings.log_model_signatures:
                with self._steps.step("The signature"):
                    from holdfast._autologging.packages import signature_of

                    signature = signature_of(self._estimator, self._data.example, self._steps)
            params = dict(self._params)
            with self._steps.step("What the search found"):
                params |= loggable(best_params_of(self._estimator), self._steps)
            self.model_id = self._log_model(
                self._estimator, MODEL_NAME, signature, params, self._settings.registered_model_name
            )
        with self._steps.step("Metrics of training"):
            pos_label = self._settings.pos_label
            self._log_metrics(training_metrics(self._estimator, self._data, pos_label, self._steps))
        if self._is_reached("Pictures"):
            self._log_pictures()
        with self._steps.step("What the search found"):
            if is_search(self._estimator):
                self._log_search(signature)

    def leave_out(self) -> None:
        """Tell that a model which is not trained to the end yet is not logged, nor measured."""
        name = type(self._estimator).__name__
        self._steps.warn(
            f"The model and its metrics are not logged, because {name}.fit goes on after scikit-learn's fit, which is "
            f"where autologging looks. Log the model by holdfast.sklearn.log_model when {name}.fit has returned."
        )

    @property
    def _inputs(self) -> list[DatasetInput]:
        """The data as the run is linked to it."""
        if self._dataset is None or not self._settings.log_datasets:
            return []
        return [DatasetInput(self._dataset, [InputTag(CONTEXT_TAG, "train")])]

    def _is_reached(self, what: str) -> bool:
        away = self._steps.is_away or self._run.client._has_to_wait  # noqa: SLF001 - the journal knows, and tells others so
        if away:
            self._steps.warn(f"{what} is not logged while the server is away.")
        return not away

    def _log_model(
        self,
        estimator: Any,
        name: str,
        signature: Any,
        params: dict[str, str],
        register_as: str | None = None,
    ) -> str | None:
        with self._steps.step(f"The model {name!r}"):
            from holdfast._autologging.packages import log_estimator

            return log_estimator(
                self._run,
                estimator,
                name,
                example=self._data.example,
                signature=signature,
                params=params,
                settings=self._settings,
                registered_model_name=register_as,
            )
        return None

    def _log_metrics(self, metrics: dict[str, float]) -> None:
        name, digest = name_and_digest(self._dataset)
        self._run.client.log_metrics(
            self._run.info.run_id, metrics, model_id=self.model_id, dataset_name=name, dataset_digest=digest
        )

    def _log_pictures(self) -> None:
        client, run_id = self._run.client, self._run.info.run_id
        with self._steps.step("Pictures"):
            for file, png in pictures_of_training(self._estimator, self._data, self._steps):
                with self._steps.step(f"The picture {file}"):
                    client.log_bytes(run_id, png, file)
        with self._steps.step("The estimator's page"):
            from sklearn.utils import estimator_html_repr

            client.log_text(run_id, _PAGE.format(estimator_html_repr(self._estimator)), "estimator.html")

    def _log_search(self, signature: Any) -> None:
        search, client, run_id = self._estimator, self._run.client, self._run.info.run_id
        best_model_id = None
        if hasattr(search, "best_estimator_") and self._settings.log_models and self._is_reached("The best model"):
            params = loggable(params_of(search.best_estimator_), self._steps)
            best_model_id = self._log_model(search.best_estimator_, BEST_MODEL_NAME, signature, params)
        if hasattr(search, "best_score_"):
            self._log_metrics({"best_cv_score": float(search.best_score_)})
        client.log_params(run_id, loggable(best_params_of(search), self._steps))
        with self._steps.step("The runs of candidates"):
            searches.log_candidates(
                self._run,
                search,
                count=self._settings.max_tuning_runs,
                dataset=self._dataset,
                inputs=self._inputs,
                best_model_id=best_model_id,
                steps=self._steps,
            )
        with self._steps.step("The results of cross-validation"):
            if self._is_reached("cv_results.csv"):
                client.log_text(run_id, searches.Candidates(search).to_csv(), "cv_results.csv")
